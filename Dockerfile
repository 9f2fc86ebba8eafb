# Limpet on x86-64, or on another arm64 than a Jetson. The binary is built before: bun scripts/build.ts
#
#   docker build -t limpet .
#   docker build -t limpet:arm64 --platform linux/arm64 --build-arg BINARY=dist/limpet-linux-arm64 .
#   docker build -t limpet:cuda --build-arg KIND=cuda --build-arg BASE=nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04 .
#
# For CUDA the folder onnxruntime/ holds the libraries of a GPU build of ONNX Runtime (its lib/). Run it with a read-only root:
#
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -p 127.0.0.1:8000:8000 -v limpet:/var/lib/limpet -v /srv/limpet/models:/models:ro limpet
ARG BASE=debian:12.11-slim
ARG KIND=cpu

FROM ${BASE} AS cpu
ARG BINARY=dist/limpet-linux-x64
COPY --chmod=755 ${BINARY} /usr/local/bin/limpet
RUN groupadd --gid 10001 limpet \
  && useradd --uid 10001 --gid limpet --home-dir /var/lib/limpet --no-create-home --shell /usr/sbin/nologin limpet \
  && install -d -o limpet -g limpet -m 750 /var/lib/limpet \
  && install -d -m 755 /models
# Numbers, so that Kubernetes sees that it is not root.
USER 10001:10001
ENV LIMPET_STATE=/var/lib/limpet
VOLUME ["/var/lib/limpet"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive: restarting what loads a large model would only make it begin anew. Who routes requests asks /v2/health/ready.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 CMD ["limpet", "health", "--live"]
ENTRYPOINT ["limpet"]
CMD ["up", "--models", "/models", "--host", "0.0.0.0"]

FROM cpu AS cuda
USER root
COPY onnxruntime/ /opt/onnxruntime/lib/
RUN install -d /etc/limpet \
  && printf '[runtime]\nlibrary = "/opt/onnxruntime/lib/libonnxruntime.so"\n' >/etc/limpet/limpet.toml
USER 10001:10001
ENV LIMPET_CONFIG=/etc/limpet/limpet.toml NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# hadolint ignore=DL3006
FROM ${KIND}
