#!/usr/bin/env bash
echo "no SDK suite yet"
