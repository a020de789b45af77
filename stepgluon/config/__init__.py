"""Turns a config's text into a PipelineConfig, or reports all its problems at once.

load                entry point: loads a file, or its text; the stages, in order
  yaml_tree         parses the text into a tree of nodes, or reports its problems
  nodes             a node of that tree, with its position
  yaml_errors       messages for YAML syntax errors
  scalars           scalar values; refuses what YAML 1.1 and 1.2 read differently
  generated_models  models generated from the values of a column
  found_models      their template if a run finds the values in the data: what it may not have
  file_models       files in place of tables: what their models may not have, and need
  reader            a tree -> the config of one environment
  rules             rules over a whole config; model_rules: over its models; algorithm_rules: over their algorithms;
                    tuning_rules: over their ranges; serving_rules: over their endpoints; xgboost_rules,
                    container_rules: of one program; findings: what they report
schema              the keys of a config: of models and the whole pipeline; job_schema: of jobs; algorithm_schema: of
                    what trains and measures a model; serving_schema: of the registry, endpoints and monitoring;
                    cicd_schema: of what deploys each push
kinds               the kinds of single values; sections: of those that hold others; durations: 90s, 10m, 1h;
                    percentages: 20%; ranges: 3..8; alarms: latency > 500ms; money: 40 USD; table_formats: separators
                    and encodings
metrics           what judges a model: better higher or lower, of numbers or classes; units: of labels, by their names
keys                finds keys by their path; tried_keys: what people write instead; json_schema: for editors
source              a config with its positions in the file
aws_facts           partitions, regions and instance types; aws_images: AWS's own images
xgboost_settings    XGBoost's hyperparameters
new_config          the text of a proposed config
"""
