# MinIO's server and client as the cluster's scripts compile them; the base only lends a shell.
ARG BASE=python:3.13-slim
FROM ${BASE}
COPY minio mc /usr/local/bin/
USER 1000
ENTRYPOINT ["minio"]
