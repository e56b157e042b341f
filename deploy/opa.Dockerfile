# OPA beside Placet, in an otherwise empty image: the pinned static binary and one policy bundle.
# The build context is the folder that deploy/tools/sidecar.py fills; `make sidecar` does both.
FROM scratch
COPY opa /opa
COPY bundle.tar.gz /bundle.tar.gz
USER 65532:65532
EXPOSE 8181
# The image holds no shell and no other client; OPA itself asks whether it is healthy. An empty array has no element 0.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/opa", "eval", "--fail", \
  "[1 | http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1:8181/health?bundles\"}).status_code == 200][0]"]
ENTRYPOINT ["/opa", "run", "--server", "--bundle", "/bundle.tar.gz", "--authorization=basic", "--skip-version-check", \
  "--log-format=json", "--log-level=error"]
CMD ["--addr=0.0.0.0:8181"]
