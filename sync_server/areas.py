"""The areas of the service, by the paths of their requests: `/api`, `/db`. `/dbs` is below neither."""


def is_below(path: str, *areas: str) -> bool:
    """Whether a path is one of the areas itself, or below it."""
    return any(path == area or path.startswith(f"{area}/") for area in areas)
