"""The configurations under which our model is compared with transformers: config.json texts of tiny models.

Each is drawn from all switches of its family by a counter-based generator, so the list is the same everywhere; `main` of
make_models.py fails if a value of a switch does not appear. A switch may also be absent, which means the default of its class.
"""

from random_weights import first_words

ABSENT = "absent"
COUNTS = {"mixtral": 12, "olmoe": 12, "qwen2_moe": 14, "qwen3_moe": 12, "llama": 8, "mistral": 8, "qwen2": 8, "qwen3": 8}
WIDTH = 16

ROPE = {
    "none": {},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16},
    "llama3_wide": {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 0.5, "high_freq_factor": 3.0,
                    "original_max_position_embeddings": 8},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "beta_fast": 2.0,
             "beta_slow": 0.25},
    "yarn_exact": {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 32, "beta_fast": 0.8,
                   "beta_slow": 0.1, "truncate": False},
    "yarn_attention": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 12,
                       "attention_factor": 0.8},
    "yarn_mscale": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 10, "beta_fast": 1.5,
                    "beta_slow": 0.1, "mscale": 0.7, "mscale_all_dim": 1.3},
}

COMMON = {
    "num_hidden_layers": [2, 3, 2],
    "heads": [(4, 4), (4, 2), (4, 1), (2, 1), (6, 2)],
    "rms_norm_eps": [1e-5, 0.01, 0.1, ABSENT],
    "rope_theta": [10000.0, 100.0, 1e6, ABSENT],
    "rope": list(ROPE),
    "rope_spelling": ["older", "newer"],
    "tie_word_embeddings": [False, True, ABSENT],
    "vocab_size": [19, 24, 31],
    "shape": [(2, 40), (3, 34), (1, 57)],  # longer than every window and original length
}
EXPERTS = {
    "experts": [4, 5, 8],
    "num_experts_per_tok": [2, 3, 1, 4],
    "expert_width": [4, 7],
    "router_aux_loss_coef": [0.5, 0.02, 2.0, 0.0, ABSENT],
}
RENORMALIZE = {"norm_topk_prob": [True, False, ABSENT]}
DENSE_LAYERS = {"decoder_sparse_step": [1, 2, ABSENT], "mlp_only_layers": [[], [0], [1], ABSENT]}
HEAD_DIM = {"head_dim": [4, 6, 10]}
WINDOWS = {"use_sliding_window": [True, False, True], "sliding_window": [3, 8, 17], "max_window_layers": [0, 1, 2]}

SWITCHES = {
    "mixtral": COMMON | EXPERTS | {"num_experts_per_tok": [2, 3, 4], "head_dim": [4, 6, 10],
                                   "sliding_window": [None, 5, 16, ABSENT]},
    "olmoe": COMMON | EXPERTS | RENORMALIZE | {"heads": [(4, 4), (4, 2), (2, 1)], "attention_bias": [False, True, ABSENT],
                                              "clip_qkv": [0.6, None, 1.2, ABSENT]},
    "qwen2_moe": COMMON | EXPERTS | RENORMALIZE | DENSE_LAYERS | WINDOWS | {
        "heads": [(4, 4), (4, 2), (4, 1), (2, 1)], "qkv_bias": [True, False, ABSENT],
        "shared_expert_intermediate_size": [5, 9], "layer_types": [ABSENT, ABSENT, "listed"]},
    "qwen3_moe": COMMON | EXPERTS | RENORMALIZE | DENSE_LAYERS | HEAD_DIM | {
        "attention_bias": [False, True, ABSENT], "use_sliding_window": [False, True, ABSENT],
        "sliding_window": [3, 8, 17]},
    "llama": COMMON | {"heads": [(4, 4), (4, 2), (4, 1), (2, 1)], "head_dim": [4, 6, ABSENT],
                       "attention_bias": [False, True, ABSENT]},
    "mistral": COMMON | HEAD_DIM | {"sliding_window": [5, None, 16]},
    "qwen2": COMMON | WINDOWS | {"heads": [(4, 4), (4, 2), (4, 1), (2, 1)], "layer_types": [ABSENT, ABSENT, "listed"]},
    "qwen3": COMMON | WINDOWS | HEAD_DIM | {"attention_bias": [False, True, ABSENT]},
}
ARCHITECTURES = {"mixtral": "MixtralForCausalLM", "olmoe": "OlmoeForCausalLM", "qwen2_moe": "Qwen2MoeForCausalLM",
                 "qwen3_moe": "Qwen3MoeForCausalLM", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
                 "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def draws(family):
    """One dict of switch values per case. The values of a switch come in shuffled rounds, so that each appears about
    equally often."""
    cases = [{} for _ in range(COUNTS[family])]
    for switch, values in SWITCHES[family].items():
        order = []
        while len(order) < len(cases):
            keys = first_words(len(order), f"cases {family} {switch}", len(values))
            order += [value for _, value in sorted(zip(keys.tolist(), values), key=lambda pair: pair[0])]
        for case, value in zip(cases, order):
            case[switch] = value
    return cases


def config_of(family, draw):
    """The text of config.json."""
    heads, kv_heads = draw["heads"]
    layers = draw["num_hidden_layers"]
    config = {
        "architectures": [ARCHITECTURES[family]], "model_type": family, "torch_dtype": "float32", "hidden_act": "silu",
        "hidden_size": WIDTH, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "num_hidden_layers": layers, "vocab_size": draw["vocab_size"], "max_position_embeddings": 64,
        "intermediate_size": draw.get("expert_width", 11) if family in ("mixtral", "olmoe") else 11,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
    }
    if family in ("qwen2_moe", "qwen3_moe"):
        config["moe_intermediate_size"] = draw["expert_width"]
    if "experts" in draw:
        config["num_local_experts" if family == "mixtral" else "num_experts"] = draw["experts"]
    if WIDTH % heads != 0 and "head_dim" not in draw:
        raise ValueError(f"{family}: {heads} heads need head_dim")
    plain = ("rms_norm_eps", "tie_word_embeddings", "num_experts_per_tok", "router_aux_loss_coef", "norm_topk_prob",
             "decoder_sparse_step", "mlp_only_layers", "head_dim", "attention_bias", "qkv_bias", "clip_qkv",
             "sliding_window", "use_sliding_window", "max_window_layers", "shared_expert_intermediate_size")
    config |= {key: draw[key] for key in plain if key in draw and draw[key] != ABSENT}
    if draw.get("layer_types", ABSENT) == "listed":
        config["use_sliding_window"] = True
        config["layer_types"] = ["sliding_attention" if layer % 2 else "full_attention" for layer in range(layers)]
    if config.get("decoder_sparse_step", 1) == 2 and 1 in config.get("mlp_only_layers", []) and layers < 4:
        config["mlp_only_layers"] = [0]  # at least one layer with experts
    add_rope(config, draw)
    return config


def add_rope(config, draw):
    rope = dict(ROPE[draw["rope"]])
    theta = {} if draw["rope_theta"] == ABSENT else {"rope_theta": draw["rope_theta"]}
    if rope and "head_dim" not in config:
        config["head_dim"] = WIDTH // draw["heads"][0]  # transformers' yarn reads it where the class has one
    if draw["rope_spelling"] == "older":
        config |= theta
        if rope:
            config["rope_scaling"] = rope
    elif rope or theta:
        config["rope_parameters"] = {"rope_type": "default"} | rope | theta
