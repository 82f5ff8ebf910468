# Two images from one build: `--target gateway` (the last one, so the default too) and `--target worker`, the candle worker with the
# shipped model. Built from Cargo.lock alone; nothing of the building machine's paths or clock gets in. The gateway is laid out along a
# run of its own (scripts/release.sh), so that two builds differ in the order of its code; `--build-arg PLAIN=1`
# leaves that out.
#   docker build -t tollgate:0.1.0 .
#   docker build -t tollgate-worker:0.1.0 --target worker .
ARG RUST_VERSION=1.95

FROM docker.io/library/rust:${RUST_VERSION}-slim-bookworm AS builder
WORKDIR /build
RUN apt-get update \
  && apt-get install -y --no-install-recommends gcc libc6-dev make bolt-22 python3 \
  && rm -rf /var/lib/apt/lists/*
COPY . .
ENV CARGO_INCREMENTAL=0 SOURCE_DATE_EPOCH=0 \
    RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=cargo"
# A folder that the gateway's user owns, for its data.
RUN install -d -m 0755 /empty

FROM builder AS build-gateway
# PLAIN=1: not laid out.
ARG PLAIN=
RUN scripts/release.sh

FROM builder AS build-worker
RUN cargo build --locked --release -p tollgate-worker --bin tollgate-worker

FROM gcr.io/distroless/cc-debian12:nonroot AS worker
COPY --from=build-worker /build/target/release/tollgate-worker /usr/local/bin/tollgate-worker
USER nonroot:nonroot
EXPOSE 9200
# Its gateway asks for its health each second; what does not answer takes no requests.
ENTRYPOINT ["/usr/local/bin/tollgate-worker"]
CMD ["serve", "--model", "shipped", "--listen", "0.0.0.0:9200"]

FROM gcr.io/distroless/cc-debian12:nonroot AS gateway
COPY --from=build-gateway /build/target/dist/shipped/tollgate /usr/local/bin/tollgate
COPY --from=builder --chown=nonroot:nonroot /empty /data
# The data folder itself is made by the gateway, closed to others.
ENV TOLLGATE_SERVER__LISTEN=0.0.0.0:8080 \
    TOLLGATE_SERVER__ADMIN_LISTEN=0.0.0.0:8081 \
    TOLLGATE_SERVER__DATA_DIR=/data/tollgate
USER nonroot:nonroot
VOLUME /data
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["/usr/local/bin/tollgate", "doctor", "--ready"]
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
