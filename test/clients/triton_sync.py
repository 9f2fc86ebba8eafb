"""tritonclient.http, the blocking client, with its own threads for requests at once."""

import json
import os

import ml_dtypes
import numpy as np
import tritonclient.http as http
import tritonclient.utils.shared_memory as shared_memory
from tritonclient.utils import InferenceServerException

from checks import check, equal, run_checks

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), dtype=np.int32)


def tensor(name, data, datatype, binary=True):
    came = http.InferInput(name, list(data.shape), datatype)
    came.set_data_from_numpy(data, binary_data=binary)
    return came


def simple_inputs(binary=True):
    return [tensor("INPUT0", A, "INT32", binary), tensor("INPUT1", B, "INT32", binary)]


def is_simple(result):
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


def ask_identity(address, model, data, datatype, binary_in=True, binary_out=True):
    """What comes back of a model that gives what it is given."""
    outputs = [http.InferRequestedOutput("OUTPUT0", binary_data=binary_out)]
    with http.InferenceServerClient(address) as client:
        result = client.infer(model, [tensor("INPUT0", data, datatype, binary_in)], outputs=outputs)
    equal(result.get_output("OUTPUT0")["datatype"], datatype)
    return result.as_numpy("OUTPUT0")


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return error
    raise AssertionError("not refused")


@check("live, ready, model ready")
def health(address):
    with http.InferenceServerClient(address) as client:
        equal(client.is_server_live(), True)
        equal(client.is_server_ready(query_params={"test_1": 1, "test_2": 2}), True)
        equal(client.is_model_ready("simple"), True)
        equal(client.is_model_ready("simple", "1"), True)
        equal(client.is_model_ready("simple", "99"), False)
        equal(client.is_model_ready("nobody"), False)


@check("server and model metadata")
def metadata(address):
    with http.InferenceServerClient(address) as client:
        server = client.get_server_metadata()
        equal(server["name"], "limpet")
        assert "binary_tensor_data" in server["extensions"], server
        model = client.get_model_metadata("simple")
    equal(model["name"], "simple")
    equal(model["platform"], "onnxruntime_onnx")
    equal(model["inputs"][0], {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]})
    equal([output["name"] for output in model["outputs"]], ["OUTPUT0", "OUTPUT1"])


@check("repository index")
def index(address):
    with http.InferenceServerClient(address) as client:
        models = {model["name"]: model for model in client.get_model_repository_index()}
    equal(models["simple"], {"name": "simple", "version": "1", "state": "READY"})
    equal(models["broken"]["state"], "UNAVAILABLE")
    assert "model.onnx" in models["broken"]["reason"], models["broken"]


@check("binary both ways")
def binary(address):
    with http.InferenceServerClient(address) as client:
        result = client.infer("simple", simple_inputs(), request_id="7", model_version="1")
    is_simple(result)
    response = result.get_response()
    equal((response["id"], response["model_name"], response["model_version"]), ("7", "simple", "1"))


@check("JSON both ways, and without an id there is none in the answer")
def json_data(address):
    outputs = [http.InferRequestedOutput(name, binary_data=False) for name in ["OUTPUT1", "OUTPUT0"]]
    with http.InferenceServerClient(address) as client:
        result = client.infer("simple", simple_inputs(binary=False), outputs=outputs)
    is_simple(result)
    response = result.get_response()
    assert "id" not in response, response
    equal([output["name"] for output in response["outputs"]], ["OUTPUT1", "OUTPUT0"])
    assert "parameters" not in response["outputs"][0], response


@check("one input in binary, the other in JSON")
def mixed(address):
    inputs = [tensor("INPUT0", A, "INT32", True), tensor("INPUT1", B, "INT32", False)]
    outputs = [
        http.InferRequestedOutput("OUTPUT0", binary_data=False),
        http.InferRequestedOutput("OUTPUT1", binary_data=True),
    ]
    with http.InferenceServerClient(address) as client:
        is_simple(client.infer("simple", inputs, outputs=outputs))


@check("8 requests at once with async_infer")
def at_once(address):
    with http.InferenceServerClient(address, concurrency=4) as client:
        asked = [client.async_infer("simple", simple_inputs(), request_id=f"a{n}") for n in range(8)]
        for number, one in enumerate(asked):
            result = one.get_result()
            is_simple(result)
            equal(result.get_response()["id"], f"a{number}")


@check("strings in binary, of any bytes")
def strings_binary(address):
    data = np.array([b"", b"Zo\xc3\xab", b"\x00\xff\xfe", b"x" * 70_000], dtype=np.object_)
    equal(ask_identity(address, "of-bytes", data, "BYTES").tolist(), data.tolist())


@check("strings in JSON")
def strings_json(address):
    data = np.array(["", 'a "quoted" line\n', "Zoë 🐚"], dtype=np.object_)
    came = ask_identity(address, "of-bytes", data, "BYTES", binary_in=False, binary_out=False)
    equal(came.tolist(), data.tolist())


@check("half precision in binary and JSON")
def half(address):
    data = np.array([0.1, -2.5, 65504, 6e-8, np.inf], dtype=np.float16)
    for binary_in, binary_out in [(True, True), (False, False), (False, True), (True, False)]:
        came = ask_identity(address, "of-fp16", data, "FP16", binary_in, binary_out)
        np.testing.assert_array_equal(came, data)


@check("bfloat16")
def bfloat(address):
    data = np.array([1.5, -0.0078125, 3e38], dtype=ml_dtypes.bfloat16)
    came = ask_identity(address, "of-bf16", data, "BF16")
    np.testing.assert_array_equal(came.astype(np.float32), data.astype(np.float32))


@check("64-bit integers keep their digits in JSON")
def longs(address):
    signed = np.array([-(2**63), 2**63 - 1, 2**53 + 1], dtype=np.int64)
    unsigned = np.array([2**64 - 1, 2**53 + 1, 0], dtype=np.uint64)
    for model, data, datatype in [("of-int64", signed, "INT64"), ("of-uint64", unsigned, "UINT64")]:
        with http.InferenceServerClient(address) as client:
            outputs = [http.InferRequestedOutput("OUTPUT0", binary_data=False)]
            result = client.infer(model, [tensor("INPUT0", data, datatype, False)], outputs=outputs)
        equal(result.get_output("OUTPUT0")["data"], data.tolist())


@check("NaN and infinities in JSON")
def not_numbers(address):
    data = np.array([np.nan, np.inf, -np.inf, 1e-45], dtype=np.float32)
    came = ask_identity(address, "of-fp32", data, "FP32", binary_in=False, binary_out=False)
    np.testing.assert_array_equal(came, data)


@check("booleans and doubles in JSON")
def others(address):
    flags = np.array([True, False, True])
    np.testing.assert_array_equal(ask_identity(address, "of-bool", flags, "BOOL", False, False), flags)
    doubles = np.array([0.1, 1e300, 5e-324])
    np.testing.assert_array_equal(ask_identity(address, "of-fp64", doubles, "FP64", False, False), doubles)


@check("no elements")
def empty(address):
    data = np.array([], dtype=np.float32)
    for way in [True, False]:
        equal(ask_identity(address, "of-fp32", data, "FP32", way, way).shape, (0,))


@check("a negative zero keeps its sign in JSON")
def negative_zero(address):
    came = ask_identity(address, "of-fp32", np.array([-0.0], dtype=np.float32), "FP32", True, False)
    assert np.signbit(came[0]), came


@check("requests compressed with gzip and deflate")
def compressed_requests(address):
    with http.InferenceServerClient(address) as client:
        for way in ["gzip", "deflate"]:
            is_simple(client.infer("simple", simple_inputs(), request_compression_algorithm=way))
            is_simple(client.infer("simple", simple_inputs(False), request_compression_algorithm=way))


@check("a client that would take a compressed answer")
def compressed_answers(address):
    with http.InferenceServerClient(address) as client:
        for way in ["gzip", "deflate"]:
            is_simple(client.infer("simple", simple_inputs(), response_compression_algorithm=way))


@check("a large answer is compressed if the client wants")
def large_answer(address):
    data = np.zeros(200_000, dtype=np.float32)
    with http.InferenceServerClient(address) as client:
        body, length = client.generate_request_body([tensor("INPUT0", data, "FP32")])
        headers = {"Accept-Encoding": "gzip", "Inference-Header-Content-Length": str(length)}
        answer = client._post("v2/models/of-fp32/infer", body, headers, None)
    equal(answer.get("Content-Encoding"), "gzip")


@check("an unknown model or version")
def unknown(address):
    with http.InferenceServerClient(address) as client:
        error = refused(lambda: client.infer("nobody", simple_inputs()))
        equal((error.status(), error.message()), ("404", "Request for unknown model: 'nobody' is not found"))
        error = refused(lambda: client.infer("simple", simple_inputs(), model_version="99"))
        equal(error.status(), "404")
        assert "unknown model: 'simple' version 99 is not found" in error.message(), error
        error = refused(lambda: client.get_model_metadata("nobody"))
        assert "nobody" in error.message(), error


@check("a wrong input: the server's words say what is expected")
def wrong_input(address):
    short = np.zeros((1, 3), dtype=np.int32)
    with http.InferenceServerClient(address) as client:
        inputs = [tensor("INPUT0", short, "INT32"), tensor("INPUT1", short, "INT32")]
        error = refused(lambda: client.infer("simple", inputs))
        equal(error.status(), "400")
        assert "INPUT0" in error.message() and "INT32 [batch,16]" in error.message(), error
        error = refused(lambda: client.infer("simple", simple_inputs()[:1]))
        assert "INPUT1" in error.message(), error
        outputs = [http.InferRequestedOutput("NOBODY")]
        error = refused(lambda: client.infer("simple", simple_inputs(), outputs=outputs))
        assert "NOBODY" in error.message(), error


@check("a priority, a timeout and parameters of its own")
def parameters(address):
    with http.InferenceServerClient(address) as client:
        is_simple(
            client.infer("simple", simple_inputs(), priority=1, timeout=5_000_000, parameters={"mine": "x"})
        )


@check("classification")
def classification(address):
    data = np.array([0.1, 0.7, 0.2], dtype=np.float32)
    outputs = [http.InferRequestedOutput("OUTPUT0", class_count=2)]
    with http.InferenceServerClient(address) as client:
        result = client.infer("of-fp32", [tensor("INPUT0", data, "FP32")], outputs=outputs)
    top = [text.decode().split(":") for text in result.as_numpy("OUTPUT0").flatten()]
    equal([int(one[1]) for one in top], [1, 2])
    equal([round(float(one[0]), 5) for one in top], [0.7, 0.2])


@check("sequences, several at a time")
def sequences(address):
    ids = [1, 2**64 - 1, 2**64 - 2]
    sums = {one: [] for one in ids}
    with http.InferenceServerClient(address) as client:
        for step in range(5):
            for place, one in enumerate(ids):
                data = np.array([[step + 10**place]], dtype=np.int32)
                result = client.infer(
                    "counting",
                    [tensor("INPUT0", data, "INT32", binary=step % 2 == 0)],
                    sequence_id=one,
                    sequence_start=step == 0,
                    sequence_end=step == 4,
                )
                equal(result.as_numpy("WHO").tolist(), [[one]])
                sums[one].append(int(result.as_numpy("OUTPUT0")[0][0]))
        error = refused(lambda: client.infer("counting", [tensor("INPUT0", data, "INT32")], sequence_id=1))
        equal(error.status(), "400")
        assert "must specify the START flag" in error.message(), error
        error = refused(lambda: client.infer("counting", [tensor("INPUT0", data, "INT32")]))
        assert "must specify a non-zero or non-empty correlation ID" in error.message(), error
    for place, one in enumerate(ids):
        equal(sums[one], np.cumsum([step + 10**place for step in range(5)]).tolist())


@check("a sequence whose id is a text, of a model that wants a number")
def sequence_text(address):
    data = np.array([[1]], dtype=np.int32)
    with http.InferenceServerClient(address) as client:
        inputs = [tensor("INPUT0", data, "INT32")]
        error = refused(lambda: client.infer("counting", inputs, sequence_id="a", sequence_start=True))
    assert 'sequence_id "a" does not fit into "ID"' in error.message(), error


@check("statistics of a model")
def statistics(address):
    with http.InferenceServerClient(address) as client:
        before = client.get_inference_statistics("simple")["model_stats"][0]
        client.infer("simple", simple_inputs())
        after = client.get_inference_statistics("simple", "1")["model_stats"][0]
    equal((after["name"], after["version"]), ("simple", "1"))
    equal(after["inference_count"] - before["inference_count"], 1)
    counted = after["inference_stats"]
    for name in ["success", "queue", "compute_input", "compute_infer", "compute_output"]:
        equal(counted[name]["count"] - before["inference_stats"][name]["count"], 1)
        assert isinstance(counted[name]["ns"], int), counted
    for name in ["fail", "cache_hit", "cache_miss"]:
        assert set(counted[name]) == {"count", "ns"}, counted


@check("statistics of all models")
def all_statistics(address):
    with http.InferenceServerClient(address) as client:
        names = [model["name"] for model in client.get_inference_statistics()["model_stats"]]
    assert "simple" in names and "of-bytes" in names, names


@check("model config")
def config(address):
    with http.InferenceServerClient(address) as client:
        came = client.get_model_config("simple")
    equal(came["name"], "simple")
    equal([one["name"] for one in came["input"]], ["INPUT0", "INPUT1"])
    equal([one["name"] for one in came["output"]], ["OUTPUT0", "OUTPUT1"])
    assert isinstance(came["max_batch_size"], int), came


@check("unload and load")
def unload_and_load(address):
    with http.InferenceServerClient(address) as client:
        client.unload_model("to-unload")
        equal(client.is_model_ready("to-unload"), False)
        client.load_model("to-unload")
        equal(client.is_model_ready("to-unload"), True)


@check("load with the model's file in the request")
def load_with_file(address):
    model = open(os.environ["MODEL_FILE"], "rb").read()
    config_text = json.dumps({"backend": "onnxruntime"})
    with http.InferenceServerClient(address) as client:
        client.load_model("sent-along", config=config_text, files={"file:1/model.onnx": model})
        is_simple(client.infer("sent-along", simple_inputs()))


@check("system shared memory")
def system_shared_memory(address):
    key, size = f"/limpet-test-{os.getpid()}", A.nbytes
    handle = shared_memory.create_shared_memory_region("all", key, 4 * size)
    try:
        shared_memory.set_shared_memory_region(handle, [A, B])
        with http.InferenceServerClient(address) as client:
            client.unregister_system_shared_memory()
            client.register_system_shared_memory("all", key, 4 * size)
            equal([region["name"] for region in client.get_system_shared_memory_status()], ["all"])
            inputs = [http.InferInput(f"INPUT{n}", [1, 16], "INT32") for n in range(2)]
            outputs = [http.InferRequestedOutput(f"OUTPUT{n}") for n in range(2)]
            for number in range(2):
                inputs[number].set_shared_memory("all", size, offset=number * size)
                outputs[number].set_shared_memory("all", size, offset=(2 + number) * size)
            client.infer("simple", inputs, outputs=outputs)
            for number, expected in enumerate([A + B, A - B]):
                came = shared_memory.get_contents_as_numpy(handle, np.int32, [1, 16], (2 + number) * size)
                np.testing.assert_array_equal(came, expected)
            client.unregister_system_shared_memory("all")
            equal(client.get_system_shared_memory_status(), [])
    finally:
        shared_memory.destroy_shared_memory_region(handle)


@check("CUDA shared memory is unregistered though there is none")
def cuda_shared_memory(address):
    with http.InferenceServerClient(address) as client:
        client.unregister_cuda_shared_memory()
        equal(client.get_cuda_shared_memory_status(), [])


@check("trace settings")
def trace(address):
    with http.InferenceServerClient(address) as client:
        assert client.get_trace_settings()["trace_level"] == ["OFF"]
        on = client.update_trace_settings("simple", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
        assert on["trace_level"] == ["TIMESTAMPS"]
        assert client.get_trace_settings()["trace_level"] == ["OFF"]
        off = client.update_trace_settings("simple", {"trace_level": None, "trace_rate": None})
        assert off["trace_level"] == ["OFF"]


@check("an ensemble: infer, metadata, config, statistics")
def ensemble(address):
    with http.InferenceServerClient(address) as client:
        inputs = [tensor("A", A, "INT32"), tensor("B", B, "INT32", binary=False)]
        result = client.infer("chain", inputs)
        np.testing.assert_array_equal(result.as_numpy("TWICE"), A + A)
        largest = http.InferRequestedOutput("TWICE", class_count=1)
        classified = client.infer("chain", inputs, outputs=[largest]).as_numpy("TWICE")
        equal(classified.tolist(), [[b"30:15"]])
        metadata, config = client.get_model_metadata("chain"), client.get_model_config("chain")
        counted = client.get_inference_statistics("chain")["model_stats"][0]
    equal((metadata["platform"], config["platform"]), ("ensemble", "ensemble"))
    steps = config["ensemble_scheduling"]["step"]
    equal([(step["model_name"], step["model_version"]) for step in steps], [("simple", -1)] * 2)
    equal(steps[1]["output_map"], {"OUTPUT0": "TWICE"})
    equal(counted["inference_stats"]["success"]["count"], 2)


@check("an ensemble follows its models through load and unload")
def ensemble_control(address):
    with http.InferenceServerClient(address) as client:
        client.unload_model("follows", unload_dependents=True)
        equal(client.is_model_ready("followed"), False)
        client.load_model("follows")
        equal((client.is_model_ready("follows"), client.is_model_ready("followed")), (True, True))
        client.unload_model("followed")
        equal(client.is_model_ready("follows"), False)
        error = refused(lambda: client.infer("follows", [tensor("IN", np.ones(2, np.float32), "FP32")]))
        assert 'step 1 ("followed")' in str(error), error
        client.load_model("followed")
        equal(client.is_model_ready("follows"), True)


@check("answers that are kept")
def kept(address):
    data = np.arange(3, dtype=np.float32)
    with http.InferenceServerClient(address) as client:
        answers = [client.infer("kept", [tensor("INPUT0", data, "FP32")]) for _ in range(3)]
        counted = client.get_inference_statistics("kept")["model_stats"][0]
        equal(client.get_model_config("kept")["response_cache"], {"enable": True})
    for answer in answers:
        np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), data)
    counts = {name: one["count"] for name, one in counted["inference_stats"].items()}
    equal((counts["success"], counts["cache_hit"], counts["cache_miss"], counts["compute_infer"]), (3, 2, 1, 1))


@check("log settings")
def logging(address):
    with http.InferenceServerClient(address) as client:
        assert "log_verbose_level" in client.get_log_settings()


run_checks()
