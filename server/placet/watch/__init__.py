"""Watch streams: the changes of decisions and of approvals, live and since a cursor."""
