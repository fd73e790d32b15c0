{{- /* Generated from the controllers' markers by `make generate`; do not edit. */ -}}
{{- define "kubewright.managerRules" -}}
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
- apiGroups:
  - kubewright.io
  resources:
  - clusteroperations
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - kubewright.io
  resources:
  - clusteroperations/status
  - clusters/status
  - hosts/status
  - offlinemanifests/status
  verbs:
  - get
  - patch
- apiGroups:
  - kubewright.io
  resources:
  - clusters
  - hosts
  - offlinemanifests
  verbs:
  - get
  - list
  - patch
  - watch
- apiGroups:
  - kubewright.io
  resources:
  - clusters/finalizers
  verbs:
  - update
{{- end -}}
{{- define "kubewright.secretRules" -}}
- apiGroups:
  - ""
  resources:
  - secrets
  verbs:
  - create
  - delete
  - get
  - update
{{- end -}}
