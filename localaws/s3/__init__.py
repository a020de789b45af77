"""S3.

store    objects on disk
buckets  moto's S3 on top of the store
direct   GetObject and PutObject of Tasks, without HTTP
"""
