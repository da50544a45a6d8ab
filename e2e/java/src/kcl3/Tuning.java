package kcl;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.LeaseAssignmentStrategy;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.leases.LeaseManagementConfig.GracefulLeaseHandoffConfig;

/** What KCL 3 has beside the settings of KCL 2: a leader that assigns leases. */
final class Tuning {
  private Tuning() {}

  /** Ends a worker when its record processors have checkpointed. */
  static void stop(Scheduler scheduler) throws Exception {
    scheduler.startGracefulShutdown().get(90, TimeUnit.SECONDS);
  }

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
