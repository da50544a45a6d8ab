package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Java is the program that runs Java classes: that of JAVA_HOME, else the one on
// the PATH.
func Java() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java := filepath.Join(home, "bin", "java")
		if info, err := os.Stat(java); err == nil && !info.IsDir() {
			return java, nil
		}
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("no java in JAVA_HOME or on the PATH (17 or later is needed): %w", err)
	}
	return java, nil
}

// JavaModule gives what a program of a module of e2e/java is run with: the Java
// to run and its options, to which the main class and its arguments are added.
// The error for a module that is not built says how to build it.
func JavaModule(module string, heapMiB int) (java string, options []string, err error) {
	mark, err := Cached(filepath.Join("java", module, "classes", "stamp"))
	if err != nil {
		return "", nil, err
	}
	if java, err = Java(); err != nil {
		return "", nil, err
	}
	dir := filepath.Dir(filepath.Dir(mark))
	return java, []string{
		fmt.Sprintf("-Xmx%dm", heapMiB),
		// One collector thread and only the quick compiler, as these programs
		// live for seconds and share the machine with what is tested.
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
		"-Dfile.encoding=UTF-8", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(dir, "classes") + string(os.PathListSeparator) + filepath.Join(dir, "lib", "*"),
	}, nil
}

// WithoutJavaOptions drops the variables that change the options of a JVM.
func WithoutJavaOptions(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, kv := range env {
		if strings.HasPrefix(kv, "JAVA_TOOL_OPTIONS=") || strings.HasPrefix(kv, "_JAVA_OPTIONS=") ||
			strings.HasPrefix(kv, "JDK_JAVA_OPTIONS=") || strings.HasPrefix(kv, "CLASSPATH=") {
			continue
		}
		kept = append(kept, kv)
	}
	return kept
}
