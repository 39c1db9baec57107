"""What mails say, by language and purpose. `{link}`, `{name}` and `{life}` are filled in."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from sync_server.identity.mail_links import Purpose

Language = Literal["en", "fr"]


Notice = Literal["address_left", "address_taken"]
"""Mails that tell something and have no link."""

Template = Purpose | Notice


class Text(NamedTuple):
    """Subject and body of a mail."""

    subject: str
    body: str


_EN_END = "\n\nThe link works once, for {life}. Nobody of the study team will ever ask you for it.\n"
_FR_END = (
    "\n\nLe lien fonctionne une seule fois, pendant {life}. Personne de l'équipe d'étude ne vous le "
    "demandera jamais.\n"
)

TEXTS: Mapping[tuple[Language, Template], Text] = {
    ("en", "invitation"): Text(
        "Your account at Metricis",
        "Hello{name},\n\nan account was made for you. Set your password here:\n\n{link}" + _EN_END,
    ),
    ("en", "password_reset"): Text(
        "Set a new password at Metricis",
        "Hello{name},\n\nsomebody asked for a new password for your account. If it was you, set it here:"
        "\n\n{link}\n\nIf it was not you, do nothing: your password stays as it is." + _EN_END,
    ),
    ("en", "magic_link"): Text(
        "Log in at Metricis",
        "Hello{name},\n\nsomebody asked for a link to log in to your account. If it was you, use it:"
        "\n\n{link}\n\nIf it was not you, do nothing." + _EN_END,
    ),
    ("en", "address_left"): Text(
        "Your address at Metricis was changed",
        "Hello{name},\n\nyour account has another address from now on: nothing is sent to this one any more, "
        "and it opens nothing. If you did not ask for that, tell your study team at once.\n",
    ),
    ("en", "address_taken"): Text(
        "This is your address at Metricis now",
        "Hello{name},\n\nthis is the address of your account from now on: log in with it. If you have no "
        "account at Metricis, tell the study team.\n",
    ),
    ("fr", "address_left"): Text(
        "Votre adresse Metricis a été modifiée",
        "Bonjour{name},\n\nvotre compte a désormais une autre adresse : plus rien ne sera envoyé à celle-ci, "
        "et elle ne permet plus de se connecter. Si vous ne l'avez pas demandé, prévenez aussitôt votre "
        "équipe d'étude.\n",
    ),
    ("fr", "address_taken"): Text(
        "Ceci est désormais votre adresse Metricis",
        "Bonjour{name},\n\nceci est désormais l'adresse de votre compte : connectez-vous avec elle. Si vous "
        "n'avez pas de compte Metricis, prévenez l'équipe d'étude.\n",
    ),
    ("fr", "invitation"): Text(
        "Votre compte Metricis",
        "Bonjour{name},\n\nun compte a été créé pour vous. Choisissez votre mot de passe ici :\n\n{link}"
        + _FR_END,
    ),
    ("fr", "password_reset"): Text(
        "Nouveau mot de passe Metricis",
        "Bonjour{name},\n\nun nouveau mot de passe a été demandé pour votre compte. Si c'était vous, "
        "choisissez-le ici :\n\n{link}\n\nSinon, ne faites rien : votre mot de passe reste inchangé."
        + _FR_END,
    ),
    ("fr", "magic_link"): Text(
        "Connexion à Metricis",
        "Bonjour{name},\n\nun lien de connexion à votre compte a été demandé. Si c'était vous, suivez-le :"
        "\n\n{link}\n\nSinon, ne faites rien." + _FR_END,
    ),
}

LIVES: Mapping[tuple[Language, Template], str] = {
    ("en", "invitation"): "7 days",
    ("en", "password_reset"): "an hour",
    ("en", "magic_link"): "15 minutes",
    ("fr", "invitation"): "7 jours",
    ("fr", "password_reset"): "une heure",
    ("fr", "magic_link"): "15 minutes",
}


def text(language: str, template: Template, *, name: str, link: str = "") -> Text:
    """The mail's text; in English where there is none in that language."""
    known: Language = "fr" if language == "fr" else get_args(Language)[0]
    found = TEXTS[known, template]
    greeted = f" {' '.join(name.split())}" if name.strip() else ""
    # A name is what somebody typed: it is put in, and nothing in it is filled in.
    return Text(
        found.subject,
        found.body.replace("{life}", LIVES.get((known, template), ""))
        .replace("{link}", link)
        .replace("{name}", greeted),
    )
