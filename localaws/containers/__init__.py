"""Equivalents of AWS's own container images, for jobs on this computer.

xgboost/    of sagemaker-xgboost
command     runs a command of one of them

Their modules run in a job's process, as the container's command of the same name would, with /opt/ml at STEPGLUON_ROOT.
"""
