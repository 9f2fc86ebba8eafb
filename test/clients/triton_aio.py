"""tritonclient.http.aio, the client on aiohttp."""

import asyncio

import numpy as np
import tritonclient.http.aio as http
from tritonclient.utils import InferenceServerException

from checks import check, equal, run_checks

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), dtype=np.int32)


def inputs(binary=True):
    tensors = [http.InferInput("INPUT0", [1, 16], "INT32"), http.InferInput("INPUT1", [1, 16], "INT32")]
    for tensor, data in zip(tensors, [A, B]):
        tensor.set_data_from_numpy(data, binary_data=binary)
    return tensors


def is_right(result):
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


@check("live, ready, model ready")
async def health(address):
    async with http.InferenceServerClient(address) as client:
        equal(await client.is_server_live(), True)
        equal(await client.is_server_ready(), True)
        equal(await client.is_model_ready("simple"), True)
        equal(await client.is_model_ready("nobody"), False)


@check("metadata and index")
async def metadata(address):
    async with http.InferenceServerClient(address) as client:
        equal((await client.get_server_metadata())["name"], "limpet")
        equal((await client.get_model_metadata("simple", "1"))["versions"], ["1"])
        names = [model["name"] for model in await client.get_model_repository_index()]
        assert "simple" in names, names


@check("binary and JSON")
async def infer(address):
    async with http.InferenceServerClient(address) as client:
        is_right(await client.infer("simple", inputs()))
        outputs = [http.InferRequestedOutput(name, binary_data=False) for name in ["OUTPUT0", "OUTPUT1"]]
        is_right(await client.infer("simple", inputs(binary=False), outputs=outputs))


@check("32 requests at once")
async def at_once(address):
    async with http.InferenceServerClient(address, conn_limit=32) as client:
        results = await asyncio.gather(
            *[client.infer("simple", inputs(), request_id=f"r{number}") for number in range(32)]
        )
    for number, result in enumerate(results):
        equal(result.get_response()["id"], f"r{number}")
        is_right(result)


@check("16 sequences at once, by number and by text")
async def sequences(address):
    async def add_up(client, one):
        sums = []
        for step in range(6):
            came = http.InferInput("INPUT0", [1, 1], "INT32")
            came.set_data_from_numpy(np.array([[step + 1]], dtype=np.int32))
            result = await client.infer(
                "recording", [came], sequence_id=one, sequence_start=step == 0, sequence_end=step == 5
            )
            sums.append(result.as_numpy("OUTPUT0").tolist()[0])
        return sums

    async with http.InferenceServerClient(address, conn_limit=16) as client:
        ids = [*range(1, 9), *(f"{number}" for number in range(1, 9))]
        answers = await asyncio.gather(*[add_up(client, one) for one in ids])
    for sums in answers:
        equal(sums, [[0, *range(1, step + 2)] for step in range(6)])


@check("compressed requests, and answers if the server wants")
async def compression(address):
    async with http.InferenceServerClient(address) as client:
        for way in ["gzip", "deflate"]:
            is_right(
                await client.infer(
                    "simple",
                    inputs(),
                    request_compression_algorithm=way,
                    response_compression_algorithm=way,
                )
            )


@check("an error carries the server's words")
async def error(address):
    async with http.InferenceServerClient(address) as client:
        try:
            await client.infer("nobody", inputs())
        except InferenceServerException as refused:
            equal(refused.status(), "404")
            assert "unknown model: 'nobody' is not found" in refused.message(), refused
            return
    raise AssertionError("not refused")


run_checks()
