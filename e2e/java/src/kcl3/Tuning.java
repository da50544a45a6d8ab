package kcl;

import java.time.Duration;
import software.amazon.kinesis.leases.LeaseAssignmentStrategy;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.leases.LeaseManagementConfig.GracefulLeaseHandoffConfig;

/** What KCL 3 has beside the settings of KCL 2: a leader that assigns leases. */
final class Tuning {
  private Tuning() {}

  static void apply(LeaseManagementConfig leases) {
    leases
        .dynamoDbLockBasedLeaderLeaseDurationInMillis(4000)
        .dynamoDbLockBasedLeaderHeartbeatPeriodInMillis(1000)
        .leaseAssignmentIntervalMillis(2000L)
        .leaseAssignmentStrategy(LeaseAssignmentStrategy.LEASE_COUNT_BASED)
        .gracefulLeaseHandoffConfig(
            GracefulLeaseHandoffConfig.builder()
                .isGracefulLeaseHandoffEnabled(true)
                .gracefulLeaseHandoffTimeoutMillis(5000)
                .build());
    leases
        .workerUtilizationAwareAssignmentConfig()
        .disableWorkerMetrics(true)
        .workerMetricsReporterFreqInMillis(1000)
        .varianceBalancingFrequency(1)
        .staleWorkerMetricsEntryCleanupDuration(Duration.ofSeconds(30));
  }
}
