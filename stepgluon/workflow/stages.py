"""The stages of a run that another run can begin with; the command line knows them without the SDKs."""

STAGES = ("prepare", "train", "predict", "postprocess")
