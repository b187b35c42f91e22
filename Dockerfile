# Builds Cronkeep and puts it alone into a small image.
ARG BUILDER=rust:1-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM ${BASE}
COPY --from=build /src/target/release/cronkeep /usr/local/bin/cronkeep
ENTRYPOINT ["cronkeep"]
CMD ["/etc/crontab"]
