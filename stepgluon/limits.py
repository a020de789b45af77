"""The services' limits, defined once, each with its source.

Sources: [sfn] Step Functions service quotas; [sm] SageMaker API reference; [sns] SNS quotas and Publish; [s3] bucket
naming rules; [cp] CodePipeline and CodeCommit quotas. Checked 2026-11 against botocore's models where these carry the
number.
"""

from __future__ import annotations

FILE_MODELS = 6  # with data.files: post-process reads each model's answers, and 4 inputs more; [sm] a job has 10 inputs
DEFINITION_BYTES = 1024 * 1024  # [sfn] maximum state machine definition size
EVENTS = 25_000  # [sfn] maximum execution history
PAYLOAD_BYTES = 256 * 1024  # [sfn] maximum input or output of a task, state or execution
STATE_NAME = 80  # [sfn] maximum length of a state name
EXECUTION_NAME = 80  # [sfn] StartExecution name
MACHINE_SECONDS = 365 * 24 * 3600  # [sfn] maximum execution time
REDRIVES = 1000  # [sfn] maximum redrives of one execution
JOB_NAME = 63  # [sm] TrainingJobName, ProcessingJobName
TUNING_NAME = 32  # [sm] HyperParameterTuningJobName
TUNING_JOBS = 750  # [sm] quota: training jobs per tuning job
TUNING_AT_ONCE = 100  # [sm] quota: parallel training jobs per tuning job, 10 unless raised
TUNING_RANGES = 30  # [sm] quota: hyperparameters that can be searched
TUNING_ENVIRONMENT = 48  # [sm] HyperParameterTrainingJobEnvironmentMap
PROCESSING_SECONDS = 9 * 24 * 3600  # [sm] ProcessingMaxRuntimeInSeconds
TRAINING_SECONDS = 28 * 24 * 3600  # [sm] quota: longest run time for a training job
ENVIRONMENT_KEY = 256  # [sm] ProcessingEnvironmentKey; training allows 512
ENVIRONMENT_VALUE = 256  # [sm] ProcessingEnvironmentValue; training allows 512
HYPERPARAMETERS = 100  # [sm] HyperParameters: entries; keys and values
METRIC_REGEX = 500  # [sm] MetricDefinitions: characters of a Regex
HYPERPARAMETER_KEY, HYPERPARAMETER_VALUE = 256, 2500
ENVIRONMENT_ENTRIES = 100  # [sm] both kinds of job
SERVERLESS_GB, SERVERLESS_CONCURRENCY = 6, 200  # [sm] ServerlessConfig
CANARY, LINEAR = 50, (10, 50)  # [sm] TrafficRoutingConfig: percent of the capacity
BAKE_SECONDS = 3600  # [sm] WaitIntervalInSeconds
RELEASE_SECONDS = 8 * 3600  # [sm] MaximumExecutionTimeoutInSeconds
ALARMS = 10  # [sm] AutoRollbackConfig
ENDPOINT_NAME = 63  # [sm] EndpointName, EndpointConfigName, ModelName
BUCKET_NAME = 63  # [s3]
SUBJECT = 99  # [sns] Subject: fewer than 100 characters, printable ASCII
MESSAGE_BYTES = 256 * 1024  # [sns] Publish
PENDING_SUBSCRIPTIONS = 5000  # [sns] unconfirmed mail subscriptions in an account
BRANCH = 255  # [cp] BranchName: a Git reference's longest
REPOSITORY = 200  # [cp] FullRepositoryId
CODECOMMIT = 100  # [cp] RepositoryName
OBJECT_KEY = 1024  # [s3]

CONCURRENCY = 1000  # Lambda quotas: default concurrent executions of an account

TEMPLATE_BYTES = 51_200  # of a template sent with the call: CloudFormation quotas

# Our own limits
CONFIG_BYTES = 1024 * 1024  # of a config; a larger file is something else
MOST_QUOTA_TRIES = 60
PREFIX = 20  # of name and environment, so that bucket and job names fit their limits
IMAGE_BUILD_SECONDS = 2 * 3600  # our own limit of a build in a run
