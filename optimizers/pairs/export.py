"""Exports preference pairs for training; PDP itself only shows them in prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from anytime_dspy.errors import DataError
from anytime_dspy.optimizers.pairs.pair import PreferencePair, Side
from anytime_dspy.optimizers.traces.chat_prompt import Prompt, first_call
from anytime_dspy.storage.jsonl import content_hash

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["pairs_dataset", "trl_rows"]

Row = dict[str, list[dict[str, Any]]]


def trl_rows(pairs: Iterable[PreferencePair], *, squeezed: bool = True) -> list[Row]:
    """Returns pairs in TRL's conversational preference format, with an explicit prompt: what its DPOTrainer reads.

    A row has three lists of messages: "prompt", the messages of a predictor of the student; "chosen" and "rejected",
    one assistant message each, with the reasoning cut at the pair's budget and no answer. A pair has a row for each
    predictor that got the same prompt in both traces, if both have reasoning. Duplicate rows are removed.

    The content of a message is a string. If any row has an image, the contents of all rows are lists of OpenAI's
    content parts, because a column has one type.

    Args:
        pairs: The pairs; those without a gap, which are only demonstrations, are left out.
        squeezed: Whether to include pairs with a squeezed trace.

    Raises:
        DataError: No pair has a row.
    """
    wanted = [pair for pair in pairs if pair.gap > 0 and (squeezed or not pair.squeezed)]
    if not wanted:
        raise DataError("there is no pair to export: the compile found no two traces of which one is better")
    rows = {content_hash(row): row for pair in wanted for row in _rows(pair)}
    if not rows:
        raise DataError(
            "no pair can be exported: none has a prompt and reasoning on both sides (pairs of an older version hold no "
            "prompts: compile again)"
        )
    return _of_one_form(list(rows.values()))


def pairs_dataset(pairs: Iterable[PreferencePair], *, squeezed: bool = True) -> Dataset:
    """Returns the rows of `trl_rows` as a `datasets.Dataset`: `DPOTrainer(..., train_dataset=pairs_dataset(pairs))`.

    Args:
        pairs: The pairs.
        squeezed: Whether to include pairs with a squeezed trace; no model wrote such a trace in this form.

    Raises:
        DataError: No pair has a row.
    """
    from datasets import Dataset

    return Dataset.from_list(trl_rows(pairs, squeezed=squeezed))


def _rows(pair: PreferencePair) -> Iterator[Row]:
    for name, prompt in pair.prompts.items():
        chosen, rejected = (_reasoning(side, name) for side in (pair.chosen, pair.rejected))
        if chosen and rejected and chosen != rejected:
            yield {
                "prompt": [dict(message) for message in prompt.messages],
                "chosen": [_answer(prompt, chosen)],
                "rejected": [_answer(prompt, rejected)],
            }


def _of_one_form(rows: list[Row]) -> list[Row]:
    messages = [message for row in rows for column in row.values() for message in column]
    if all(isinstance(message["content"], str) for message in messages):
        return rows
    return [
        {
            name: [{**message, "content": _parts(message["content"])} for message in column]
            for name, column in row.items()
        }
        for row in rows
    ]


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _reasoning(side: Side, predictor: str) -> str:
    call = first_call(side.calls, predictor)
    return call.reasoning.strip() if call else ""


def _answer(prompt: Prompt, reasoning: str) -> dict[str, Any]:
    return {"role": "assistant", "content": f"{prompt.opening}{reasoning}"}
