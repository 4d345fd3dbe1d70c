#!/bin/sh
# Builds kube-apiserver with Go from its module, for api-server.test.ts:
#
#   test/nightly/deploy/build-api-server.sh FOLDER [VERSION]
#
# k8s.io/kubernetes takes its own modules from a folder of its repository. Here each comes from its release of the same version.
set -eu
folder=$1
version=${2:-37.2}
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=$(cd "$folder" && pwd)/kube-apiserver
cd "$work"
go mod init apiserver
for module in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap \
  code-generator component-base component-helpers controller-manager cri-api cri-client csi-translation-lib \
  dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler \
  kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin sample-controller; do
  echo "replace k8s.io/$module => k8s.io/$module v0.$version" >> go.mod
done
go get -tool "k8s.io/kubernetes/cmd/kube-apiserver@v1.$version"
name=k8s.io/component-base/version
go build -o "$program" \
  -ldflags="-s -w -X $name.gitVersion=v1.$version -X $name.gitMajor=1 -X $name.gitMinor=${version%.*}" \
  k8s.io/kubernetes/cmd/kube-apiserver
