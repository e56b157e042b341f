# The image of OPA as a sidecar of Placet. It contains only the pinned static binary and one policy bundle.
# The build context is the folder that deploy/tools/sidecar.py writes. `make sidecar` writes it and builds the image.
FROM scratch
COPY opa /opa
COPY bundle.tar.gz /bundle.tar.gz
USER 65532:65532
EXPOSE 8181
# The image has no shell and no HTTP client, so OPA checks its own health. When unhealthy, the array is empty, its element
# 0 is undefined, and `opa eval --fail` fails.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/opa", "eval", "--fail", \
  "[1 | http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1:8181/health?bundles\"}).status_code == 200][0]"]
ENTRYPOINT ["/opa", "run", "--server", "--bundle", "/bundle.tar.gz", "--authorization=basic", "--skip-version-check", \
  "--log-format=json", "--log-level=error"]
CMD ["--addr=0.0.0.0:8181"]
