"""From a PipelineConfig to a state machine's definition; ../../pipeline.py draws it.

states         the states it is drawn with, made of
  jobs           what each job is given
  mails          what each mail says
  failures       what becomes of a failure   (failure_rule: what the machine cannot mail itself)
  retries        what is tried again, how often and when
  resume         a run that begins where another one failed   (stages: where that can be)
  intrinsics     the intrinsic functions
sdk            the Data Science SDK, its gaps closed
compile        graph -> canonical text, checked
size_estimate  what validate can say of the size without compiling
"""
