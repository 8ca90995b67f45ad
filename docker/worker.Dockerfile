# syntax=docker/dockerfile:1
# Inference worker. PyTorch's wheels bring CUDA: the same image runs with a GPU and without one.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/bootstrap.txt requirements/build.txt requirements/worker.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/bootstrap.txt \
 && python -m venv --without-pip /opt/pneumo \
 && uv pip install --no-cache --python /opt/pneumo --require-hashes -r requirements/worker.txt
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY audit audit
COPY cli cli
COPY core core
COPY dicom dicom
COPY migrations migrations
COPY ml ml
COPY pacs_listener pacs_listener
COPY worker worker
RUN uv build --no-cache --wheel --build-constraints requirements/build.txt --require-hashes --out-dir dist . \
 && uv pip install --no-cache --python /opt/pneumo --no-deps --compile-bytecode dist/*.whl

FROM python:3.11-slim
# The same number in every image: listener, workers and API share the spool volume.
RUN groupadd --gid 10001 pneumo \
 && useradd --uid 10001 --gid pneumo --home-dir /var/lib/pneumo --no-create-home --shell /usr/sbin/nologin pneumo \
 && install --directory --owner=pneumo --group=pneumo --mode=0700 /var/lib/pneumo /var/lib/pneumo/spool /var/lib/pneumo/models
COPY --from=build /opt/pneumo /opt/pneumo
ENV PATH=/opt/pneumo/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PNEUMO_HOME=/var/lib/pneumo
WORKDIR /var/lib/pneumo
USER pneumo
# Libraries that want to keep caches find no home they may write to.
ENV MPLCONFIGDIR=/tmp
CMD ["pneumo", "work", "--queue", "inference"]
