"""OpenAI's embeddings: texts in, vectors of length 1 out, as numbers or in base64.

Above: `routes.py`. Below: `openai_shape.py`.
"""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any, Literal

from pydantic import Field

from samovar.dialects.asking import Service
from samovar.dialects.failures import refused
from samovar.dialects.http import RequestBody
from samovar.dialects.openai_shape import HINT, check_known


class EmbeddingsRequest(RequestBody):
    """The body of `POST /v1/embeddings`."""

    model: str | None = Field(
        None, description="An id of `/v1/models`, or an alias; without it, the default."
    )
    input: str | list[str] | list[int] | list[list[int]] = Field(
        description="A text, or up to 2,048; tokens are refused, for their numbers are the model's own."
    )
    encoding_format: Literal["float", "base64"] | None = Field(None, description="`float` or `base64`.")
    dimensions: int | None = Field(None, ge=1, description="Refused, unless the vectors have as many.")
    user: str | None = Field(None, description=HINT)

    def texts(self, most: int) -> tuple[str, ...]:
        """Raises `ApiRefusedError`."""
        given = [self.input] if isinstance(self.input, str) else self.input
        texts = tuple(one for one in given if isinstance(one, str))
        if len(texts) != len(given):
            raise refused("'input' must be texts: tokens are not taken.", "input")
        if not 1 <= len(texts) <= most or "" in texts:
            raise refused(f"'input' must be 1 to {most} texts, none of them empty.", "input")
        return texts


async def embed(service: Service, body: EmbeddingsRequest) -> dict[str, Any]:
    """Raises `ApiRefusedError`, and what the executor raises."""
    check_known(body)
    found = await service.embed(body.model, body.texts(service.api.limits.texts))
    length = len(found.vectors[0])
    if body.dimensions not in (None, length):
        raise refused(f"The model's vectors have {length} dimensions, and no others.", "dimensions")
    is_base64 = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(one) if is_base64 else list(one)}
        for index, one in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return {"object": "list", "data": data, "model": body.model or found.model, "usage": usage}


def _base64(vector: array[float]) -> str:
    """Numbers of 32 bits, the least byte first."""
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")
