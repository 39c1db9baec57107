"""The specification, as tests: what each situation is expected to lead to."""
