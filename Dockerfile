FROM python:3.13-slim-trixie AS build
WORKDIR /build
COPY . .
RUN pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels '.[exports,javascript,reports,reports-cjk]'

FROM python:3.13-slim-trixie
# pg_dump and pg_restore, for `backup` and `restore`: not older than the server of compose.yaml.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client-17 \
 && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'metricis-sync[exports,javascript,reports,reports-cjk]'
RUN useradd --system --uid 10001 --home-dir /data metricis && install -d -o metricis -m 700 /data /backups
USER metricis
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8000 PYTHONUNBUFFERED=1
VOLUME ["/data", "/backups"]
EXPOSE 8000
ENTRYPOINT ["sync-server"]
CMD ["serve"]
