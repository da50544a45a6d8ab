import {
  to = aws_kinesis_stream.scaled
  id = "${var.prefix}-scaled"
}
import {
  to = aws_kinesis_stream.kept
  id = "${var.prefix}-kept"
}
import {
  to = aws_kinesis_stream.mode
  id = "${var.prefix}-mode"
}
import {
  to = aws_kinesis_stream.watched
  id = "${var.prefix}-watched"
}
import {
  to = aws_kinesis_stream.sealed
  id = "${var.prefix}-sealed"
}
import {
  to = aws_kinesis_stream_consumer.reader
  id = var.consumer_arn
}
import {
  to = aws_kinesis_resource_policy.shared
  id = var.kept_arn
}

variable "consumer_arn" { type = string }
variable "kept_arn" { type = string }
