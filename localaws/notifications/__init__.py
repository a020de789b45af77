"""Who is told of what happens.

s3_events    uploads' events, as S3 sends them
eventbridge  EventBridge's rules
alarms       CloudWatch's alarms on queues
sns_mail     SNS's mails, in a folder
"""
