"""KServe's InferenceRESTClient. Only its modules are imported: the package itself wants Kubernetes."""

import importlib.util
import sys
import types

package = types.ModuleType("kserve")
package.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = package

import httpx  # noqa: E402
import numpy as np  # noqa: E402
from kserve.inference_client import InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput  # noqa: E402

from checks import check, equal, run_checks  # noqa: E402

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), dtype=np.int32)


def client():
    return InferenceRESTClient(RESTConfig(protocol="v2"))


def request(binary):
    inputs = [InferInput("INPUT0", [1, 16], "INT32"), InferInput("INPUT1", [1, 16], "INT32")]
    for tensor, data in zip(inputs, [A, B]):
        tensor.set_data_from_numpy(data, binary_data=binary)
    outputs = [RequestedOutput(name, {"binary_data": binary}) for name in ["OUTPUT0", "OUTPUT1"]]
    return InferRequest(
        model_name="simple", infer_inputs=inputs, request_id="k-1", request_outputs=outputs
    )


@check("live")
async def live(address):
    async with client() as kserve:
        equal(await kserve.is_server_live(f"http://{address}"), True)


@check("ready")
async def ready(address):
    async with client() as kserve:
        equal(await kserve.is_server_ready(f"http://{address}"), True)


@check("a model is ready, an unknown one is not")
async def model_ready(address):
    async with client() as kserve:
        equal(await kserve.is_model_ready(f"http://{address}", "simple"), True)
        equal(await kserve.is_model_ready(f"http://{address}", "nobody"), False)


async def infer(address, binary):
    async with client() as kserve:
        response = await kserve.infer(f"http://{address}", request(binary), model_name="simple")
    equal(response.id, "k-1")
    equal(response.model_name, "simple")
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    np.testing.assert_array_equal(outputs["OUTPUT0"].reshape(1, 16), A + B)
    np.testing.assert_array_equal(outputs["OUTPUT1"].reshape(1, 16), A - B)


@check("infer in JSON")
async def infer_json(address):
    await infer(address, False)


@check("infer in binary")
async def infer_binary(address):
    await infer(address, True)


@check("infer with a plain dict")
async def infer_dict(address):
    data = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [2], "data": [0.5, -1]}]}
    async with client() as kserve:
        response = await kserve.infer(f"http://{address}", data, model_name="of-fp32")
    equal(response.outputs[0].data, [0.5, -1])


@check("an error carries the server's words")
async def error(address):
    async with client() as kserve:
        try:
            await kserve.infer(f"http://{address}", {"inputs": []}, model_name="nobody")
        except httpx.HTTPStatusError as refused:
            assert "nobody" in str(refused), refused
            equal(refused.response.status_code, 404)
            return
    raise AssertionError("not refused")


run_checks()
