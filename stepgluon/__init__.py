"""The generator: from one YAML file to a state machine, to an account, and to a run.

pipeline-config.yml
  config        what it can say            (schema: for editors; facts, limits: what AWS has and allows)
  reading/      text -> PipelineConfig, all problems at once
  checks        rules over a whole config
pipeline.py     the workflow, told once, with
  states        its states                 (failures, jobs, mails, waiting, resume, stages, intrinsics, names)
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
cli             words in, files and exit codes out; validate, compile, graph, schema
  cli_common      what they share
  cli_local       run, local               cli_runs      runs, show, watch, redrive, promote
  cli_template    template                 cli_account   start, status, rollback
  cli_deploy      plan, deploy, destroy
  terminal, progress, hints; errors: every error a user can meet
What runs elsewhere imports nothing from here: code/ (the jobs), lambda/ (the trigger). policy/ has the roles, docker/
the images. garbage keeps Python's collector out of the way where thousands of objects are made that all live on.
"""

__version__ = "0.1.0"
