# SPDX-License-Identifier: Apache-2.0
"""The shells' completion of all four programs, made of their parsers; ``make sample`` writes it to ``etc/share``.

A table in the scripts has the words that may follow. Only guests and machine types are asked for when they are needed.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from parsers import PROGRAMS, commands, groups, parser_of

from mthook.nova.instance import VM_STATES
from mthook.policy import ALLOWANCES
from mthook.tools.admin.listing import STATES

#: Words of programs that aren't arguments of a parser.
SPOKEN = {"mthook-status": ("upgrade check",), "mthook-admin": tuple(commands())}
#: What an argument is to be, by the name that it has in the help; what stands in brackets the scripts know how to find.
KINDS = {
    "DIR": ("<directories>",),
    "FILE": ("<files>",),
    "FILE|-": ("<files>",),
    "GLOB": ("<types>",),
    "GUEST": ("<guests>",),
    "STATE": tuple(sorted({*STATES, *VM_STATES})),
    "TYPE": ("<types>",),
    "WHAT,...": tuple(ALLOWANCES),
    # Those of ``help`` and ``set``, by the names that they have in the program.
    "cmd": tuple(sorted({name.split()[0] for name in commands()})),
    "words": ("<guests>", "<types>"),
}

_HEAD = "# Completion of mthook's commands in {}. Written by 'make sample'.\n"
_NEXT = r"""
# Print what may follow the words of a command line.
_mthook_next() { # BEGINNING-OF-THE-NEXT PROGRAM WORD...
    local beginning=${1//\\/} at=${2##*/} wants= word
    local config=()
    shift 2
    for word in "$@"; do
        if [ -n "$wants" ]; then
            [ "$word" = = ] && continue # bash splits --option=value there
            [ "$wants" = --config-file ] && config+=(--config-file "$word")
            wants=
        elif _mthook_words "$at $word" >/dev/null; then
            case $word in
            -*) wants=$word ;;
            *) at="$at $word" ;;
            esac
        fi
    done
    _mthook_words "$at${wants:+ $wants}" | while IFS= read -r word; do
        case $word in
        '<guests>') mthook-admin complete "${config[@]}" guests -- "$beginning" 2>/dev/null ;;
        '<types>') mthook-admin complete "${config[@]}" types -- "$beginning" 2>/dev/null ;;
        *) printf '%s\n' "$word" ;;
        esac
    done
}
"""
_BASH = r"""
_mthook() {
    local IFS=$'\n' typed=${COMP_WORDS[COMP_CWORD]} word quoted options=()
    [ "$typed" = = ] && typed=
    COMPREPLY=()
    while read -r word; do
        printf -v quoted %q "$word"
        case $word in
        '<files>') compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$typed")) ;;
        '<directories>') compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$typed")) ;;
        -*) [[ $word == "$typed"* ]] && options+=("$word") ;;
        *) [[ $quoted == "$typed"* ]] && COMPREPLY+=("$quoted") ;;
        esac
    done < <(_mthook_next "$typed" "${COMP_WORDS[@]:0:COMP_CWORD}")
    [ -z "$typed" ] && [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY+=("${options[@]}")
}
complete -F _mthook PROGRAMS
"""
_ZSH = r"""
_mthook() {
    local word
    local -a found options before=("${(@)words[1,CURRENT-1]}")
    if [[ $PREFIX == --*=* ]]; then
        before+=("${PREFIX%%=*}")
        compset -P '*='
    fi
    for word in "${(@f)$(_mthook_next "$PREFIX" "${(@)before}")}"; do
        case $word in
        ('<files>') _files ;;
        ('<directories>') _files -/ ;;
        (-*) options+=("$word") ;;
        (?*) found+=("$word") ;;
        esac
    done
    [[ -z $PREFIX && $#found -gt 0 ]] || found+=("${(@)options}")
    compadd -a found
}
_mthook "$@"
"""


def scripts() -> dict[str, str]:
    """Return the scripts by their paths below ``etc/share``."""
    names = " ".join(PROGRAMS)
    shared = f"{_NEXT}\n{_table()}"
    return {
        "bash-completion/completions/mthook-admin": _HEAD.format("bash")
        + shared
        + _BASH.replace("PROGRAMS", names),
        "zsh/site-functions/_mthook": f"#compdef {names}\n" + _HEAD.format("zsh") + shared + _ZSH,
    }


def _table() -> str:
    """Return the function that prints the words after a command, and those after an option of it."""
    lines = [line for at, words in sorted(_known().items()) for line in _case(at, words)]
    return "\n".join(
        ["_mthook_words() {", "    case $1 in", *lines, "    *) return 1 ;;", "    esac", "}", ""]
    )


def _case(at: str, words: Iterable[str]) -> Iterator[str]:
    """Yield lines of the table, none of them long."""
    line = f"    '{at}') " + ("printf '%s\\n'" if words else ":")
    for word in [*map(shlex.quote, words), ";;"]:
        if len(line) + len(word) > 110:
            yield f"{line} \\"
            line = "       "
        line += f" {word}"
    yield line


def _known() -> dict[str, list[str]]:
    """Return what may follow: after a program, after a command or the beginning of one, after an option."""
    known: dict[str, list[str]] = {}
    for program in PROGRAMS:
        everywhere = _actions([program])
        spoken = [f"{program} {name}" for name in SPOKEN.get(program, ())]
        for at in {program, *spoken, *(" ".join(name.split()[:2]) for name in spoken)}:
            own = _actions(at.split()) if at in spoken else []
            following = {
                name.split()[len(at.split())] for name in spoken if name.startswith(f"{at} ")
            }
            known[at] = [*sorted(following)]
            for action in [*own, *everywhere]:
                _add(known, at, action)
    return known


def _add(known: dict[str, list[str]], at: str, action: argparse.Action) -> None:
    """Add an argument: an option, with the words that may follow it, or what such words are."""
    kind = KINDS.get(action.dest) or KINDS.get(str(action.metavar), ())
    values = [*map(str, action.choices or kind)]
    if action.option_strings and action.nargs != 0:
        known.update({f"{at} {flag}": values for flag in action.option_strings})
    for word in action.option_strings or values:
        if word not in known[at]:
            known[at].append(word)


def _actions(words: Sequence[str]) -> list[argparse.Action]:
    """Return the arguments of a program or a command; of those of formatters the ones that all of them have."""
    return [
        action
        for title, actions in groups(parser_of(words))
        if "format" not in title.lower() or title == "output formatters"
        for action in actions
    ]


if __name__ == "__main__":
    for name, text in scripts().items():
        (Path(__file__).parents[2] / "etc" / "share" / name).write_text(text)
