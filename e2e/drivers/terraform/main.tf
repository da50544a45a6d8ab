# Each setting is changed on a stream of its own: the provider waits ten seconds
# for every change of a stream, but changes streams beside each other.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "prefix" { type = string }
variable "updated" { type = bool }

provider "aws" {
  skip_metadata_api_check = true
  endpoints {
    kinesis = var.endpoint
    sts     = var.endpoint
  }
}

resource "aws_kinesis_stream" "scaled" {
  name        = "${var.prefix}-scaled"
  shard_count = var.updated ? 2 : 1
  tags        = var.updated ? { team = "search", stage = "test" } : { team = "shop" }
}

resource "aws_kinesis_stream" "kept" {
  name             = "${var.prefix}-kept"
  shard_count      = 1
  retention_period = var.updated ? 48 : 24
}

resource "aws_kinesis_stream" "mode" {
  name        = "${var.prefix}-mode"
  shard_count = var.updated ? null : 1
  stream_mode_details {
    stream_mode = var.updated ? "ON_DEMAND" : "PROVISIONED"
  }
}

resource "aws_kinesis_stream" "watched" {
  name                = "${var.prefix}-watched"
  shard_count         = 1
  shard_level_metrics = var.updated ? ["IncomingBytes", "OutgoingRecords"] : []
}

resource "aws_kinesis_stream" "sealed" {
  name            = "${var.prefix}-sealed"
  shard_count     = 1
  encryption_type = var.updated ? "KMS" : "NONE"
  kms_key_id      = var.updated ? "alias/aws/kinesis" : null
}

resource "aws_kinesis_stream_consumer" "reader" {
  name       = "reader"
  stream_arn = aws_kinesis_stream.scaled.arn
}

resource "aws_kinesis_resource_policy" "shared" {
  resource_arn = aws_kinesis_stream.kept.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "put"
      Effect    = "Allow"
      Principal = { AWS = "123456789012" }
      Action    = var.updated ? ["kinesis:PutRecord", "kinesis:PutRecords"] : ["kinesis:PutRecord"]
      Resource  = aws_kinesis_stream.kept.arn
    }]
  })
}

data "aws_kinesis_stream" "scaled" {
  name       = aws_kinesis_stream.scaled.name
  depends_on = [aws_kinesis_stream.scaled]
}

data "aws_kinesis_stream" "kept" {
  name       = aws_kinesis_stream.kept.name
  depends_on = [aws_kinesis_stream.kept]
}

data "aws_kinesis_stream" "mode" {
  name       = aws_kinesis_stream.mode.name
  depends_on = [aws_kinesis_stream.mode]
}

data "aws_kinesis_stream_consumer" "reader" {
  name       = aws_kinesis_stream_consumer.reader.name
  stream_arn = aws_kinesis_stream.scaled.arn
}

data "aws_caller_identity" "me" {}

output "seen" {
  value = {
    account      = data.aws_caller_identity.me.account_id
    arn          = data.aws_kinesis_stream.scaled.arn
    open         = length(data.aws_kinesis_stream.scaled.open_shards)
    closed       = length(data.aws_kinesis_stream.scaled.closed_shards)
    tags         = data.aws_kinesis_stream.scaled.tags
    retention    = data.aws_kinesis_stream.kept.retention_period
    mode         = data.aws_kinesis_stream.mode.stream_mode_details[0].stream_mode
    status       = data.aws_kinesis_stream.mode.status
    consumer     = data.aws_kinesis_stream_consumer.reader.status
    consumer_arn = aws_kinesis_stream_consumer.reader.arn
  }
}
