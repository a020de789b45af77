"""The generator: from one YAML file to a state machine, to an account, and to a run.

pipeline-config.yml
  config        what it can say            (schema: for editors; facts, limits: what AWS has and allows)
  reading/      text -> PipelineConfig, all problems at once
  checks        rules over a whole config
pipeline.py     the workflow, told once, with
  states        its states                 (jobs, mails, waiting, resume, stages, intrinsics, names)
  sdk           the Data Science SDK, its gaps closed
  definition    graph -> canonical text, checked by
    selfcheck/    AWS's rules, and harder ones
    size          what validate can tell without compiling
  graph/        its picture
the definition goes two ways, and both are one
  release       all that a deployment consists of: templates/ with the policies, objects, images
  deploy        decide, then act           (deployment/: plan, stacks, images, destroy; aws: the one door outward)
  local/        AWS on this computer, to which it is deployed alike
  failure_rule  mails what the machine cannot mail itself
runs/           what becomes of it: start, follow, take up, promote, roll back
cli, cli_*      words in, files and exit codes out   (terminal, progress, hints; errors: every error a user can meet)
"""

__version__ = "0.1.0"
