"""One's own account: its password, its second factor, its logins, its language."""

from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values

ME = api("GET", "/api/auth/me")
LOGINS = api("GET", "/api/user-sessions")

SIGN_OUT = Form(
    name="sign_out",
    calls=api("POST", "/api/auth/logout"),
    then=f"{PATH}/sign-in",
    ends_login=True,
)
CHANGE_PASSWORD = Form(
    name="change_password",
    calls=api("POST", "/api/auth/change-password"),
    fields=(
        Field("current_password", "password", autocomplete="current-password"),
        Field("new_password", "password", autocomplete="new-password", hint=True, min_length=12),
        Field("again", "password", autocomplete="new-password", repeats="new_password"),
    ),
    then=f"{PATH}/account",
)
LANGUAGE = Form(
    name="language",
    calls=api("PATCH", "/api/users/{person}"),
    fields=(Field("language", "choice", choices=("en", "fr")),),
    own_account=True,
    versioned=True,
)
RENAME_SELF = Form(
    name="rename_self",
    calls=api("PATCH", "/api/users/{person}"),
    fields=(Field("name", max_length=200, autocomplete="name"),),
    own_account=True,
    versioned=True,
)
END_LOGIN = Form(name="end_login", calls=api("DELETE", "/api/user-sessions/{login}"))
END_OTHERS = Form(name="end_others", calls=api("DELETE", "/api/user-sessions"), danger=True)

START_FACTOR = Form(
    name="start_factor",
    calls=api("POST", "/api/auth/totp"),
    shows="account/factor_secret.html",
)
CONFIRM_FACTOR = Form(
    name="confirm_factor",
    calls=api("POST", "/api/auth/totp/confirm"),
    fields=(Field("code", "code", autocomplete="one-time-code", min_length=6, max_length=100),),
    shows="account/recovery_codes.html",
)
REMOVE_FACTOR = Form(
    name="remove_factor",
    calls=api("DELETE", "/api/auth/totp"),
    fields=(
        Field("password", "password", autocomplete="current-password"),
        Field("code", "code", autocomplete="one-time-code", min_length=6, max_length=100),
    ),
    danger=True,
)


async def account(look: Look) -> Values:
    """Who one is, and where one is signed in."""
    me = await look.ask(ME)
    look.fill(RENAME_SELF, name=me.name)
    look.forms["rename_self"].version = "*"
    return {"me": me, "logins": await look.ask(LOGINS, per_page=100)}


async def password(look: Look) -> Values:
    """Change the password."""
    return {"me": await look.ask(ME)}


async def second_factor(look: Look) -> Values:
    """Have a code asked for at each login, or not any more."""
    return {"me": await look.ask(ME)}


PAGES = [
    Page(
        name="account",
        path=f"{PATH}/account",
        template="account/account.html",
        view=account,
        reads=(ME, LOGINS),
        forms=(LANGUAGE, RENAME_SELF, END_LOGIN, END_OTHERS),
    ),
    Page(
        name="password",
        path=f"{PATH}/account/password",
        template="account/password.html",
        view=password,
        reads=(ME,),
        forms=(CHANGE_PASSWORD, SIGN_OUT),
        area="account",
        with_temporary_password=True,
    ),
    Page(
        name="second_factor",
        path=f"{PATH}/account/second-factor",
        template="account/second_factor.html",
        view=second_factor,
        reads=(ME,),
        forms=(START_FACTOR, CONFIRM_FACTOR, REMOVE_FACTOR),
        area="account",
    ),
]
