#!/usr/bin/env python3
"""Makes tiny models with transformers and stores what they compute: logits, losses and all gradients.

    make_models.py --output FOLDER             write FOLDER/<family>.json and FOLDER/<family>.safetensors
    make_models.py --output FOLDER --against OTHER   the same, and compare with what OTHER holds

Weights and tokens are not stored: random_weights.py and tests/app/parity compute them from the case's seed and
the names in the folder. Needs torch, transformers and safetensors; the product needs none of them.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

import cases
from random_weights import random_tensor, random_tokens

# Rounding must not decide what is stored: gradients in fp32 and fp64 differ by less, or the next seed is taken.
MOST_NOISE = 2e-5


def file_tensors(config):
    """Names and shapes of the tensors of a folder, as the released ones have them."""
    family = config["model_type"]
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    default_head = 128 if family in ("qwen3",) else width // heads
    head = config.get("head_dim", default_head)
    biased = {"qwen2": True, "qwen2_moe": config.get("qkv_bias", True)}.get(family, config.get("attention_bias", False))
    output_biased = biased and family in ("olmoe", "llama", "qwen3", "qwen3_moe")
    tensors = {"model.embed_tokens.weight": (vocabulary, width)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = (width,)
        for name, rows in (("q", heads * head), ("k", kv_heads * head), ("v", kv_heads * head)):
            tensors[prefix + f"self_attn.{name}_proj.weight"] = (rows, width)
            if biased:
                tensors[prefix + f"self_attn.{name}_proj.bias"] = (rows,)
        tensors[prefix + "self_attn.o_proj.weight"] = (width, heads * head)
        if output_biased:
            tensors[prefix + "self_attn.o_proj.bias"] = (width,)
        if family == "olmoe":
            tensors[prefix + "self_attn.q_norm.weight"] = (heads * head,)
            tensors[prefix + "self_attn.k_norm.weight"] = (kv_heads * head,)
        if family in ("qwen3", "qwen3_moe"):
            tensors[prefix + "self_attn.q_norm.weight"] = (head,)
            tensors[prefix + "self_attn.k_norm.weight"] = (head,)
        tensors[prefix + "post_attention_layernorm.weight"] = (width,)
        tensors |= mlp_tensors(config, layer, prefix)
    tensors["model.norm.weight"] = (width,)
    if not config.get("tie_word_embeddings", False):
        tensors["lm_head.weight"] = (vocabulary, width)
    return tensors


def mlp_tensors(config, layer, prefix):
    family, width = config["model_type"], config["hidden_size"]

    def gated(path, inner, names=("gate_proj", "up_proj", "down_proj")):
        gate, up, down = names
        return {f"{path}.{gate}.weight": (inner, width), f"{path}.{up}.weight": (inner, width),
                f"{path}.{down}.weight": (width, inner)}

    experts = config.get("num_local_experts", config.get("num_experts", 0))
    sparse = layer not in config.get("mlp_only_layers", []) and (layer + 1) % config.get("decoder_sparse_step", 1) == 0
    if experts == 0 or not sparse:
        return gated(prefix + "mlp", config["intermediate_size"])
    tensors = {}
    module = prefix + ("block_sparse_moe" if family == "mixtral" else "mlp")
    inner = config.get("moe_intermediate_size", config["intermediate_size"])
    names = ("w1", "w3", "w2") if family == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    tensors[module + ".gate.weight"] = (experts, width)
    for expert in range(experts):
        tensors |= gated(f"{module}.experts.{expert}", inner, names)
    if family == "qwen2_moe":
        tensors |= gated(module + ".shared_expert", config["shared_expert_intermediate_size"])
        tensors[module + ".shared_expert_gate.weight"] = (1, width)
    return tensors


def file_gradients(model, names):
    """Gradients under the names of the folder: transformers stacks gate over up and the experts in memory."""
    held = {name: parameter.grad for name, parameter in model.named_parameters()}
    gradients = {}
    for name in names:
        own = name.replace("block_sparse_moe", "mlp")
        if own in held:
            gradients[name] = held[own]
            continue
        stem, expert, matrix, _ = own.rsplit(".", 3)
        index = int(expert)
        if matrix in ("down_proj", "w2"):
            gradients[name] = held[stem + ".down_proj"][index]
        else:
            both = held[stem + ".gate_up_proj"][index]
            half = both.shape[0] // 2
            gradients[name] = both[:half] if matrix in ("gate_proj", "w1") else both[half:]
    return {name: gradient.detach().to(torch.float64).numpy() for name, gradient in gradients.items()}


def load_model(config, weights, dtype):
    """Through a folder, so that transformers' own reader decides what each tensor of a file means."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        save_file(weights, pathlib.Path(folder, "model.safetensors"), metadata={"format": "pt"})
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
    wrong = {key: value for key, value in report.items() if value}
    if wrong:
        raise RuntimeError(f"transformers does not take the tensors as they are: {wrong}")
    return model.eval()


def compute(config, case, dtype):
    """What the model of a case computes, at one precision."""
    shapes = file_tensors(config)
    weights = {name: random_tensor(case["seed"], name, shape) for name, shape in shapes.items()}
    model = load_model(config, weights, dtype)
    rows, length = case["sequences"], case["length"]
    tokens, targets = (
        torch.from_numpy(random_tokens(case["seed"], what, rows * length, config["vocab_size"]).reshape(rows, length))
        for what in ("tokens", "targets"))
    moe = "num_experts_per_tok" in config
    extra = {"output_router_logits": True} if moe else {}
    output = model(input_ids=tokens, labels=targets, shift_labels=targets, use_cache=False, **extra)
    output.loss.backward()
    result = {"loss": output.loss.item(), "auxiliary": 0.0, "logits": output.logits.detach().to(torch.float64).numpy()}
    if moe:
        result["auxiliary"] = model.config.router_aux_loss_coef * output.aux_loss.item()
    result["cross_entropy"] = torch.nn.functional.cross_entropy(
        output.logits.flatten(0, 1), targets.flatten()).item()
    result["gradients"] = file_gradients(model, shapes)
    return result


def relative(a, b):
    """Largest difference against the largest value, and difference against value as vectors."""
    norm, most = np.linalg.norm(b), np.abs(b).max()
    if most == 0:
        return float(np.abs(a).max() > 0)
    return max(np.abs(a - b).max() / most, np.linalg.norm(a - b) / norm)


def noise(single, double):
    """How far rounding moves a case."""
    return max([np.abs(single["logits"] - double["logits"]).max() * 2]
               + [relative(single["gradients"][name], double["gradients"][name]) for name in single["gradients"]])


def make_family(family):
    stored, tensors = [], {}
    for index, draw in enumerate(cases.draws(family)):
        config = cases.config_of(family, draw)
        sequences, length = draw["shape"]
        for seed in range(1, 50):
            case = {"name": f"{family}_{index:02}", "seed": seed, "sequences": sequences, "length": length}
            result = compute(config, case, torch.float32)
            moved = noise(result, compute(config, case, torch.float64))
            if moved < MOST_NOISE:
                break
        else:
            raise RuntimeError(f"{case['name']}: rounding decides for every seed ({moved:.1e}): {config}")
        stored.append(case | {key: result[key] for key in ("loss", "cross_entropy", "auxiliary")} | {"config": config})
        tensors[f"{case['name']}/logits"] = result["logits"].astype(np.float32)
        # One tensor for all gradients, flattened in the order of their names: thousands of names would outweigh them.
        tensors[f"{case['name']}/gradients"] = np.concatenate(
            [result["gradients"][name].astype(np.float32).ravel() for name in sorted(result["gradients"])])
        print(f"{case['name']} seed {seed} noise {moved:.1e} loss {result['loss']:.6f} "
              f"auxiliary {result['auxiliary']:.6f}", file=sys.stderr)
    return stored, tensors


def check_coverage():
    for family, switches in cases.SWITCHES.items():
        drawn = cases.draws(family)
        for switch, values in switches.items():
            missing = [value for value in values if value not in [draw[switch] for draw in drawn]]
            if missing:
                raise RuntimeError(f"{family}: no case has {switch} = {missing}")


def difference(folder, other, family):
    """Greatest relative difference between two folders of one family."""
    ours, theirs = (json.loads((at / f"{family}.json").read_text()) for at in (folder, other))
    drop = ("loss", "cross_entropy", "auxiliary")
    if [{k: v for k, v in c.items() if k not in drop} for c in ours["cases"]] != [
            {k: v for k, v in c.items() if k not in drop} for c in theirs["cases"]]:
        raise RuntimeError(f"{family}: the cases of {other} are not those that are made here")
    worst = max(abs(a[key] - b[key]) / max(abs(b[key]), 1e-3)
                for a, b in zip(ours["cases"], theirs["cases"]) for key in drop)
    a, b = (load_file(at / f"{family}.safetensors") for at in (folder, other))
    if a.keys() != b.keys():
        raise RuntimeError(f"{family}: {other} holds other tensors")
    return max([worst] + [relative(a[name], b[name]) for name in a])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--against", type=pathlib.Path)
    parser.add_argument("--family", choices=list(cases.COUNTS), action="append")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    check_coverage()
    arguments.output.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for family in arguments.family or cases.COUNTS:
        stored, tensors = make_family(family)
        about = f"made by scripts/parity/models/make_models.py with transformers {transformers.__version__}, torch {torch.__version__}"
        text = json.dumps({"about": about, "cases": stored}, indent=1)
        (arguments.output / f"{family}.json").write_text(text + "\n")
        save_file(tensors, arguments.output / f"{family}.safetensors")
        if arguments.against:
            worst = max(worst, difference(arguments.output, arguments.against, family))
    total = sum(cases.COUNTS[family] for family in arguments.family or cases.COUNTS)
    compared = f", greatest relative difference from {arguments.against} {worst:.1e}" if arguments.against else ""
    print(f"{total} models{compared}")
    return 1 if worst > 1e-4 else 0


if __name__ == "__main__":
    sys.exit(main())
