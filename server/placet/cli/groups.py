"""Command groups that still accept the words that earlier versions used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import typer
import typer.core

if TYPE_CHECKING:
    from collections.abc import Mapping


class AliasGroup(typer.core.TyperGroup):
    """A group whose renamed commands also run under their old names, with a line on stderr."""

    aliases: ClassVar[Mapping[str, str]] = {}
    """Old name -> new name. Help and suggestions show the new name only."""
    synonyms: ClassVar[Mapping[str, str]] = {"delete": "clear", "remove": "clear", "unset": "clear"}
    """Word that people try -> the command that does it, where the group has one. Only for suggestions."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - typer's own types
        """Return the command that the first argument names. Fail with a suggestion when there is none."""
        word, *rest = args
        name = self.aliases.get(word, word)
        if name != word and not ctx.resilient_parsing:
            prefix = ctx.command_path.partition(" ")[2]
            warn_renamed(f"{prefix} {word}".lstrip(), f"{prefix} {name}".lstrip())
        if name not in self.commands and not word.startswith("-"):
            ctx.fail(f"No such command {word!r}.{self._suggestion(word)}")
        return super().resolve_command(ctx, [name, *rest])

    def _suggestion(self, word: str) -> str:
        from placet.kernel.diagnostics import closest  # noqa: PLC0415 - only for a wrong word

        if self.synonyms.get(word) in self.commands:
            return f" Did you mean {self.synonyms[word]!r}?"
        near = closest(word, [*self.commands, *self.aliases])
        return f" Did you mean {self.aliases.get(near, near)!r}?" if near else ""


def aliases(**new_names: str) -> type[AliasGroup]:
    """Return a group class for `typer.Typer(cls=...)`. Each keyword is an old name, its value the new one."""
    return type("AliasGroup", (AliasGroup,), {"aliases": new_names})


def warn_renamed(old_words: str, new_words: str) -> None:
    """Print on stderr that the words of a command have changed."""
    typer.echo(f"placet: '{old_words}' is now '{new_words}'; the old word will go in a later version", err=True)
