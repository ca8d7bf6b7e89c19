# The image of fastsip: docs/install.md#container says how it is run.
#
# BASE is any Debian 12; both stages stand on the same one, for the kernels are compiled for its Python.  Where pip needs
# settings or certificates of a closed network, they are mounted for the build and do not stay.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
ARG SOURCE_DATE_EPOCH=0
ARG SOURCE=.
COPY . /src
RUN cd /src && CFLAGS=-g0 packages/tree "${SOURCE}" /usr/lib/fastsip /made \
    && find /made -newermt "@${SOURCE_DATE_EPOCH}" -exec touch --no-dereference -d "@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="fastsip" \
      org.opencontainers.image.description="A SIP router for carriers" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig \
    && groupadd --gid 5060 fastsip \
    && useradd --uid 5060 --gid fastsip --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fastsip \
    && install -d -o fastsip -g fastsip -m 750 /var/lib/fastsip /run/fastsip \
    && ln -s ../lib/fastsip/bin/fastsip /usr/bin/fastsip
COPY --from=build /made/usr/lib/fastsip /usr/lib/fastsip
COPY packages/debian/fastsip.toml /etc/fastsip/fastsip.toml
# As systemd says it of a service: without them another user than root keeps such things in places of his own.
ENV RUNTIME_DIRECTORY=/run/fastsip STATE_DIRECTORY=/var/lib/fastsip
# By number, so that Kubernetes sees that it is not root.
USER 5060:5060
VOLUME /var/lib/fastsip
EXPOSE 5060/udp
# TERM means leave at once; calls in set-up wait in /run/fastsip for the next start.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["fastsip", "status", "/etc/fastsip/fastsip.toml"]
ENTRYPOINT ["fastsip"]
CMD ["run", "/etc/fastsip/fastsip.toml"]
