"""From a PipelineConfig to a state machine's definition; ../../pipeline.py draws it.

states         the states it is drawn with, made of
  jobs           what each job is given
  mails          what each mail says
  decisions      what the whole run decides from data
  retries        what is tried again, how often and when
  expressions    JSONata as text
sdk            the Data Science SDK, its gaps closed
compile        graph -> canonical text, checked
size_estimate  what validate can say of the size without compiling
"""
