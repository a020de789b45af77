"""AWS on this computer, in pure Python: independent of pipelines, and imports nothing from stepgluon.

server/           the local AWS as a whole: starts and stops all parts in order; the web server on 127.0.0.1
iam/              checked first: roles may do what their policies allow
cloudformation/   deploys templates
sagemaker/        jobs that really run, endpoints that really answer
codebuild/        builds of images that really run
containers/       equivalents of AWS's own images
stepfunctions/    versions, aliases, a queue and histories for moto's Step Functions
s3/               buckets on disk
lambda_/          functions that really run
notifications/    S3's events, EventBridge's rules, CloudWatch's alarms, SNS's mails
moto_fixes/       fixes where moto differs from AWS
base/             shared by the packages above
errors            problems of this computer
"""
