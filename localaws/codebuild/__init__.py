"""CodeBuild's builds of images, run by buildah.

api        answers the calls about builds; moto keeps the projects
build      one build: its source, its commands, its image in ECR
sync_task  Step Functions' Task that waits for a build
"""
