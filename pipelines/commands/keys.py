"""``quipu keys``: API keys of the scorer."""

from pathlib import Path
from typing import Annotated

import typer

from components.credit.errors import InputError

app = typer.Typer(help="API keys of the scorer.", no_args_is_help=True, rich_markup_mode=None)


@app.command("new")
def new_key_command(
    name: Annotated[str, typer.Argument(help="Who will ask with it; the decision log keeps this name.")],
    role: Annotated[list[str], typer.Option(help="score, read, override or admin; may be given several times.")],
    file: Annotated[Path, typer.Option(help="File of keys to add it to, made where it is missing.")] = Path(
        "scorer-keys.json"
    ),
) -> None:
    """Make an API key.

    It is printed once, and the file keeps only its hash. QUIPU_AUTH_KEYS_FILE tells the scorer the file.

    Example: quipu keys new branch-arequipa --role score
    """
    from rich.console import Console

    from components.scorer.access.apikeys import add_key, new_key
    from components.scorer.requests import ROLES

    roles = [known for known in ROLES if known in role]
    for word in role:
        if word not in ROLES:
            raise InputError(f"There is no role '{word}'; give {', '.join(ROLES)}.")
    key, entry = new_key(name, roles)
    add_key(file, entry)
    typer.echo(key)
    Console(stderr=True, highlight=False).print(f"{file} holds its hash; the key itself is shown only here.")
