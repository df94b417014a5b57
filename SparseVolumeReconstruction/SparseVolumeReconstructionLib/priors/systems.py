"""The generative systems by the name that model cards use: "module:Class" in this folder.

Each class has `from_weights(tensors: dict[str, Tensor], card: ModelCard, device: torch.device)`.
"""

SYSTEMS = {
    "structured-gaussian": "structured_gaussian:StructuredGaussian",
    "slice-vae": "slice_vae.prior:SliceVaePrior",
    "bruno": "bruno.prior:BrunoPrior",
    "gqn": "query.prior:QueryPrior",
    "cvae": "query.prior:QueryPrior",
    "volume-model": "volume_model.prior:VolumeModelPrior",
}
