"""Events and mails that moto lacks or handles differently from AWS.

s3_events         one event per upload, as S3 sends it
eventbridge       EventBridge's rules on uploads and on executions that end
alarms            CloudWatch's alarms on queues
endpoint_metrics  metrics of endpoints, and the alarms on them
sns_mail          SNS's mails, as files in a folder
"""
