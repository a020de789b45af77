"""AWS on this computer, with nothing but Python: it knows nothing of pipelines, and imports nothing of stepgluon.

server/           the local AWS as a whole: what is started, in which order, and ended; the web server on 127.0.0.1
iam/              the first door: roles may do what their policies allow
cloudformation/   deploys templates
sagemaker/        training and processing jobs that really run
stepfunctions/    versions, aliases, a queue and histories for moto's Step Functions
s3/               buckets on disk
lambda_/          functions that really run
notifications/    S3's events, EventBridge's rules, CloudWatch's alarms, SNS's mails
moto_fixes/       what moto does otherwise than AWS
base/             what the rooms above share
errors            what keeps the local AWS from working at all
"""
