"""Turns a PipelineConfig into a state machine's definition; the workflow is in ../../pipeline.py.

states         the states used in pipeline.py; branch_states: those of a model; endpoint_states: those of its
               release; parts: what all share. Made from
  jobs           the requests for the jobs, made of request_parts; tuning: those of a tuned model
  file_jobs      those with files in place of tables
  group_states   the states with one model for each value found in the data; group_jobs, group_decisions, group_mails:
                 their requests, JSONata and mails; shared_release: the release of all of them to one endpoint
  mails          the texts of the mails
  decisions      the run's decisions, as JSONata
  endpoints      the settings of a served model, and what has become of its release
  registration   the request that makes a model a version in the registry
  retries        what is retried, how often and when
  expressions    JSONata as text
release_machine  the release to an endpoint, in a run and as a machine of its own for approved versions
monitor_machine  the machine that looks for drift; monitor_states: its states
sdk            the Data Science SDK, with its gaps closed
compile        graph -> canonical text, checked
size_estimate  estimates the size for validate, without compiling
"""
