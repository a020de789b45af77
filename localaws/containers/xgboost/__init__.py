"""An equivalent of AWS's image sagemaker-xgboost in algorithm mode, for CSV on one CPU instance.

Names, formats, checks, log lines and errors are those of github.com/aws/sagemaker-xgboost-container (commit cb8df91,
version 3.0-5). Anything else is refused by name.

train            trains on the channels train and validation, using
  hyperparameters  their names, types and ranges
  metrics          the container's own eval_metrics
serve            answers /ping, /invocations and /execution-parameters
data             reads CSV
errors           what ends a training
"""
