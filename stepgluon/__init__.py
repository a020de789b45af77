"""The generator: from one YAML file to a state machine.

pipeline-config.yml
  config      what it can say (schema: for editors; facts, limits: what AWS has and allows)
  loading     text -> PipelineConfig, all problems at once   (yamltext, nodes, syntax, scalars, generated, durations,
                                                                 wording)
  checks      rules over a whole config                      (model_checks)
pipeline.py   the workflow, told once, with
  states        its states                                   (jobs, mails, waiting, resume, intrinsics, names)
  sdk           the Data Science SDK, its gaps closed
  definition  graph -> canonical text, checked by
    selfcheck/  AWS's rules, and harder ones
    size        what validate can tell without compiling
  graph/      its picture
  local/      AWS on this computer, which runs it
  failure_rule  mails what the machine cannot mail itself
release       all that a deployment consists of: templates/, objects, images
  plan        what deploy would change                      (definition_diff, changes)
  deploy      stacks, images, objects; destroy is the way back   (account, images, stacks, stack_events)
what became of it, in an account and on this computer, through one door (aws)
  start, watch, redrive, promote    a run, from its beginning to its use   (executions, follow, progress, stages)
  status, rollback                  the pipeline
cli, terminal   words in, files and exit codes out           (errors: every error a user can meet)
"""

__version__ = "0.1.0"
