"""Torch's modules and functions: which mean the same, what their arguments are, what to write instead."""

KNOWN = "Conv2d, BatchNorm2d, ReLU, ReLU6, MaxPool2d, AvgPool2d, Linear, Flatten, + and torch.cat"

# What to write instead of common things that the format lacks, by module class or function.
_INSTEAD = {
    "write nn.ReLU or nn.ReLU6": "SiLU Hardswish Hardsigmoid GELU LeakyReLU PReLU ELU SELU Sigmoid Tanh Mish"
    " Softplus silu hardswish hardsigmoid gelu leaky_relu prelu elu selu sigmoid tanh mish softplus",
    "write nn.BatchNorm2d after a convolution": "LayerNorm GroupNorm InstanceNorm2d LocalResponseNorm"
    " layer_norm group_norm instance_norm local_response_norm batch_norm",
    "leave it out: normalisation goes after convolutions only": "BatchNorm1d",
    "leave it out, and predict on the coarser grid": "Upsample UpsamplingNearest2d UpsamplingBilinear2d"
    " PixelShuffle ConvTranspose2d interpolate upsample pixel_shuffle conv_transpose2d",
    "write nn.AdaptiveAvgPool2d(1)": "AdaptiveMaxPool2d LPPool2d adaptive_max_pool2d max amax sum",
    "leave it out (squeeze-and-excitation, gates and attention have no place in the format)": "mul truediv"
    " matmul bmm einsum MultiheadAttention scaled_dot_product_attention",
    "leave it out: the study gives the network (pixel − 128) / 64 already": "sub div",
    "write a Conv2d of kernel 1 that mixes the channels": "ChannelShuffle channel_shuffle chunk split permute"
    " transpose",
    "write nn.Conv2d, for images": "Conv1d Conv3d LSTM GRU RNN Embedding",
    "read the tensor itself": "data detach",
    "make it an nn.Module (nn.Conv2d, nn.Linear) in __init__ and call that": "conv2d linear",
}
REMEDY = {name: remedy for remedy, names in _INSTEAD.items() for name in names.split()}

OPTIONS = {
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "adaptive_avg_pool2d": ("output_size",),
    "hardtanh": ("min_val", "max_val"),
    "clamp": ("min", "max"),
    "mean": ("dim", "keepdim"),
    "pad": ("pad", "mode", "value"),
    "dropout": ("p", "training"),
    "softmax": ("dim",),
    "log_softmax": ("dim",),
}
"""Positional arguments after the tensor, of the functions whose arguments matter."""

FUNCTION_OF = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "Hardtanh": "hardtanh",
    "MaxPool2d": "max_pool2d",
    "AvgPool2d": "avg_pool2d",
    "AdaptiveAvgPool2d": "adaptive_avg_pool2d",
    "Flatten": "flatten",
    "Unflatten": "reshape",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Identity": "dropout",
} | dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout"), "dropout")
"""Modules without weights: the function that does the same."""

SAME_AS = {
    "dropout2d": "dropout",
    "alpha_dropout": "dropout",
    "feature_alpha_dropout": "dropout",
    "contiguous": "dropout",
    "clone": "dropout",
    "iadd": "add",
    "concat": "cat",
    "concatenate": "cat",
    "view": "flatten",
    "reshape": "flatten",
    "squeeze": "flatten",
    "clip": "clamp",
    "clamp_min": "clamp",
}
