FROM python:3.13-slim
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt '.[javascript]' \
 && useradd --system --home-dir /data metricis && install -d -o metricis /data
USER metricis
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8000
ENTRYPOINT ["sync-server"]
CMD ["serve"]
