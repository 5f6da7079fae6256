"""Back-end URLs: `scheme://host/path?option=value`, parsed once, never printed with a secret."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from gomr.errors import ConfigurationError

SECRET_OPTIONS = ("token", "password", "secret", "key")


@dataclass(frozen=True, slots=True)
class URL:
    """A parsed back-end URL; `str()` of it shows no secret."""

    scheme: str
    host: str = ""
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        login = f"{self.username}:***@" if self.password else f"{self.username}@" if self.username else ""
        shown = {name: "***" if _is_secret(name) else value for name, value in self.options.items()}
        query = "?" + urlencode(shown, safe="*") if shown else ""
        return f"{self.scheme}://{login}{self.host}{quote(self.path)}{query}"

    def check_options(self, *known: str) -> None:
        """Raise ConfigurationError for an option that is not in `known`."""
        for name in self.options:
            if name not in known:
                said = ", ".join(known) or "none"
                raise ConfigurationError(f"{self}: unknown option {name!r}; {self.scheme}:// knows: {said}")


def parse(text: str) -> URL:
    """Parse `text`; a bare word such as `console` is `console://`. Raises ConfigurationError."""
    if "://" not in text:
        text = f"{text}://"
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigurationError(f"not a URL of the form scheme://host/path?option=value: {error}") from None
    if not parts.scheme:
        raise ConfigurationError(f"{text!r}: not a URL of the form scheme://host/path?option=value")
    login, _, host = parts.netloc.rpartition("@")
    if not login and "@" in parts.path and ":" in host and not host.rpartition(":")[2].isdigit():
        raise ConfigurationError(f"{parts.scheme}://: write a '/' in a user name or password as %2F")
    username, _, password = login.partition(":")
    return URL(parts.scheme, host, unquote(parts.path), unquote(username), unquote(password), options)


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_OPTIONS)
