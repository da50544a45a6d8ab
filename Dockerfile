# syntax=docker/dockerfile:1

# The image holds one static binary, certificates, time zones and a configuration: no shell, no package manager, no root.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t firehosed .
#   docker run -v firehosed:/var/lib/firehosed -v "$PWD/config.yaml:/etc/firehosed/config.yaml:ro" -p 4573:4573 firehosed
#
# Behind -p the daemon has to listen on 0.0.0.0:4573, and so needs keys (or "auth: none") in that file. The configuration in
# the image listens on loopback: right for a container that shares its network with its clients, as in a pod. It runs with a
# read-only root file system (--read-only) too. For exec transforms build an image on top of this one that has their programs.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/firehosed ./cmd/firehosed \
 && mkdir -p /out/etc /out/var/firehosed && chmod 0700 /out/var/firehosed \
 && cp deploy/config.yaml /out/etc/config.yaml \
 && chmod 0644 /out/etc/config.yaml

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# For time_zone of a delivery stream: the zones come with Go.
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
ENV ZONEINFO=/zoneinfo.zip
COPY --from=build /out/firehosed /firehosed
COPY --from=build /out/etc/config.yaml /etc/firehosed/config.yaml
# An empty folder with owner and mode: a new volume takes both from it.
COPY --from=build --chown=65532:65532 /out/var/ /var/lib/
USER 65532:65532
WORKDIR /var/lib/firehosed
VOLUME /var/lib/firehosed
EXPOSE 4573
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/firehosed", "healthcheck"]
ENTRYPOINT ["/firehosed"]
CMD ["run", "-c", "/etc/firehosed/config.yaml"]
